"""What was measured, as text for people and as JSON for programs."""

import json
import os
import platform
import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.plan import Figure
from benchmarks.rounds import FLOOR, PEER, PERDURE, Measured

HEADINGS = ("figure", "unit", "perdure", "spread", "floor", "of floor", "DBOS", "to DBOS", "aim", "")


def text(results: Sequence[Measured]) -> str:
    """A table with a heading line for each workload; medians over the rounds.

    `of floor` and `to DBOS` say how much better (above 1) or worse perdure is, whichever way the figure points.
    """
    lines: list[tuple[str, ...]] = [HEADINGS]
    for result in results:
        lines.append((result.workload.title,))
        lines.extend(_line(result, figure) for figure in result.workload.figures)
    widths = [max(len(line[column]) for line in lines if len(line) > 1) for column in range(len(HEADINGS))]
    return "\n".join(
        line[0]
        if len(line) == 1
        else f"  {line[0]:<{widths[0]}} {line[1]:<{widths[1]}} "
        + " ".join(f"{cell:>{width}}" for cell, width in zip(line[2:], widths[2:], strict=True))
        for line in lines
    )


def _line(result: Measured, figure: Figure) -> tuple[str, ...]:
    ours, floor, peer = (result.median(side, figure.key) for side in (PERDURE, FLOOR, PEER))
    values = result.values.get(PERDURE, {}).get(figure.key, [])
    spread = f"{min(values):,.4g}..{max(values):,.4g}" if len(values) > 1 else ""
    met = ""
    if figure.aim is not None and ours is not None:
        met = "met" if (ours >= figure.aim if figure.higher_is_better else ours <= figure.aim) else "MISSED"
    return (
        figure.label,
        figure.unit,
        _number(ours) or "failed",
        spread,
        _number(floor),
        _ratio(figure, ours, floor),
        _number(peer),
        _ratio(figure, ours, peer),
        _number(figure.aim),
        met,
    )


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _ratio(figure: Figure, ours: float | None, theirs: float | None) -> str:
    if ours is None or theirs is None:
        return ""
    ratio = ours / theirs if figure.higher_is_better else theirs / ours
    return f"{ratio:.2f}x" if ratio < 10 else f"{ratio:.0f}x"


def machine(folder: Path) -> dict[str, Any]:
    """What the figures depend on, besides the code."""
    return {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0],
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "stdlib_sqlite": sqlite3.sqlite_version,
        "folder": str(folder),
    }


def write_json(path: Path, results: Sequence[Measured], facts: dict[str, Any]) -> None:
    """All values of all rounds."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "machine": facts,
        "workloads": {
            result.workload.name: {
                "title": result.workload.title,
                "values": result.values,
                "failures": {side: why for side, why in result.failures.items() if why},
            }
            for result in results
        },
    }
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
