"""One run of one step, from start to result."""

from pathlib import Path

from benchmarks.on_dbos.opening import run
from benchmarks.on_dbos.steps import execute
from benchmarks.timing import latencies


def measure(folder: Path, *, count: int) -> dict[str, float]:
    async def main() -> dict[str, float]:
        for number in range(10):
            await execute(f"warm-{number}", steps=1)
        return await latencies(count, lambda workflow_id: execute(workflow_id, steps=1))

    return run(folder, main())
