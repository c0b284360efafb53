"""What `import perdure` takes in a new interpreter, alone and with the names that a program uses."""

import statistics
import subprocess
import sys
from pathlib import Path

ALONE = "import perdure"
IN_USE = "from perdure import Client, Worker, activity, workflow"


def measure(folder: Path, *, count: int) -> dict[str, float]:
    alone: list[float] = []
    in_use: list[float] = []
    for _ in range(count):
        alone.append(_milliseconds(ALONE))
        in_use.append(_milliseconds(IN_USE))
    return {
        "best_ms": min(alone),
        "median_ms": statistics.median(alone),
        "in_use_best_ms": min(in_use),
        "in_use_median_ms": statistics.median(in_use),
    }


def _milliseconds(statement: str) -> float:
    """Of one import in a process of its own. Raises AssertionError when it loads SQLAlchemy."""
    probe = (
        f"import sys, time; began = time.perf_counter(); {statement}; "
        "print(time.perf_counter() - began, 'sqlalchemy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    seconds, loaded = done.stdout.split()
    assert loaded == "False", f"{statement!r} loads SQLAlchemy"
    return float(seconds) * 1e3
