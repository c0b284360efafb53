"""One measurement in a process of its own: `python -m benchmarks.child MODULE FOLDER '{"keyword": ...}'`.

Prints the figures as one JSON object on the last line of standard output. Runs in the venv of either side, so it
imports nothing but the workload's module.
"""

import importlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent

# What is measured is the tree that this file stands in, whatever version is installed.
_ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(str(ROOT / floor) for floor in ("sdk", "replayer", "history")),
}


class MeasurementFailedError(Exception):
    """A child process ended without figures; the message holds the end of what it said."""


def command(
    module: str, folder: Path, keywords: dict[str, Any], *, python: str = sys.executable
) -> list[str]:
    """The command line that measures `module` in `folder`."""
    return [python, "-m", "benchmarks.child", module, str(folder), json.dumps(keywords)]


def measure(
    module: str, folder: Path, keywords: dict[str, Any], *, python: str = sys.executable, timeout: float = 600
) -> dict[str, float]:
    """Figures of one measurement, made in a new process.

    Raises MeasurementFailedError when it fails or takes longer than `timeout` seconds.
    """
    try:
        done = subprocess.run(
            command(module, folder, keywords, python=python),
            cwd=ROOT,
            env=_ENVIRONMENT,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise MeasurementFailedError(f"{module} {keywords} took longer than {timeout} s") from error
    if done.returncode != 0:
        tail = (done.stderr or done.stdout)[-2000:]
        raise MeasurementFailedError(f"{module} {keywords} ended with {done.returncode}:\n{tail}")
    figures: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return figures


def recover(victim: str, heir: str, folder: Path, keywords: dict[str, Any]) -> dict[str, float]:
    """Run module `victim` until it kills itself, then module `heir` to the result of the run it left behind.

    Gives the figures of the heir and `process_s`: seconds from the start of the heir's process to the moment
    at which it had the result, as it tells in `wall_clock`.
    """
    died = subprocess.run(
        command(victim, folder, keywords),
        cwd=ROOT,
        env=_ENVIRONMENT,
        capture_output=True,
        text=True,
        check=False,
    )
    if died.returncode != -9:
        raise MeasurementFailedError(
            f"{victim} was to die of SIGKILL, but ended with {died.returncode}: {died.stderr[-2000:]}"
        )
    began = time.time()
    figures = measure(heir, folder, keywords)
    figures["process_s"] = figures.pop("wall_clock") - began
    return figures


def main() -> None:
    module, folder, keywords = sys.argv[1:]
    figures = importlib.import_module(f"benchmarks.{module}").measure(Path(folder), **json.loads(keywords))
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
