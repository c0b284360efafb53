"""A long run whose process is killed in its last step; the next process brings it to its end."""

from pathlib import Path

from benchmarks.child import recover


def measure(folder: Path, *, steps: int) -> dict[str, float]:
    figures = recover("on_perdure.recovery_victim", "on_perdure.recovery_heir", folder, {"steps": steps})
    figures["events_per_second"] = 2 * steps / figures["worker_s"]
    return figures
