"""A long run whose process is killed in its last step; the next process brings it to its end."""

from pathlib import Path

from benchmarks.child import recover


def measure(folder: Path, *, steps: int) -> dict[str, float]:
    return recover("on_dbos.recovery_victim", "on_dbos.recovery_heir", folder, {"steps": steps})
