"""`python -m benchmarks`: measure, print a table, write `results/latest.json` and, if asked to, the picture."""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.chart import write_svg
from benchmarks.peer import python_with_dbos
from benchmarks.plan import WORKLOADS
from benchmarks.rounds import Session
from benchmarks.table import machine, text, write_json

HERE = Path(__file__).parent


def main() -> int:
    """Exit code 1 when a measurement of perdure failed. A missed aim is not an error: machines differ."""
    options = _options()
    chosen = [workload for workload in WORKLOADS if not options.only or workload.name in options.only]
    peer = None if options.no_peer or options.quick else python_with_dbos()
    session = Session(options.dir, options.rounds or (1 if options.quick else 3), options.quick, peer)
    facts = machine(options.dir)
    began = time.monotonic()
    results = session.run(chosen)
    facts["seconds"] = round(time.monotonic() - began)
    print(
        f"SQLite, synchronous=FULL, {facts['folder']}; {facts['cores']} cores, Python {facts['python']}, {facts['system']}"
    )
    print(
        f"Medians of {session.rounds} round{'s' if session.rounds > 1 else ''}; load before: {facts['load_average']:.1f}\n"
    )
    print(text(results))
    smaller = [f"{one.name} {one.peer}" for one in chosen if one.peer]
    if peer is not None and smaller:
        print(f"\nSmaller sizes for DBOS, as it would take minutes otherwise: {'; '.join(smaller)}")
    write_json(options.out / "latest.json", results, facts)
    if options.svg:
        write_svg(options.svg, results)
    return 1 if any("perdure" in result.failures for result in results) else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = [workload.name for workload in WORKLOADS]
    parser.add_argument(
        "--quick", action="store_true", help="small sizes, one round, no DBOS: a smoke test of a minute"
    )
    parser.add_argument("--no-peer", action="store_true", help="leave DBOS out")
    parser.add_argument(
        "--only", nargs="+", choices=names, metavar="NAME", help=f"some of: {', '.join(names)}"
    )
    parser.add_argument("--rounds", type=int, help="measurements of each side (default 3)")
    parser.add_argument(
        "--dir", type=Path, default=Path(tempfile.gettempdir()), help="measure the filesystem of this folder"
    )
    parser.add_argument("--out", type=Path, default=HERE / "results", help="where latest.json goes")
    parser.add_argument("--svg", type=Path, help="also draw the rates into this file")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
