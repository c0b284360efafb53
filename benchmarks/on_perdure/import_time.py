"""What `import perdure` takes in a new interpreter."""

import statistics
import subprocess
import sys
from pathlib import Path

PROBE = (
    "import sys, time; began = time.perf_counter(); import perdure; "
    "print(time.perf_counter() - began, 'sqlalchemy' in sys.modules)"
)


def measure(folder: Path, *, count: int) -> dict[str, float]:
    taken: list[float] = []
    loaded = False
    for _ in range(count):
        said = subprocess.run(
            [sys.executable, "-c", PROBE], capture_output=True, text=True, check=True
        ).stdout.split()
        taken.append(float(said[0]) * 1e3)
        loaded |= said[1] == "True"
    assert not loaded, "import perdure loads SQLAlchemy"
    return {"best_ms": min(taken), "median_ms": statistics.median(taken)}
