"""One run of one step, from start to result."""

from pathlib import Path

from benchmarks.on_perdure.opening import run
from benchmarks.on_perdure.steps import execute, noop, sequence
from benchmarks.timing import latencies
from perdure import Client


def measure(folder: Path, *, count: int) -> dict[str, float]:
    async def main(client: Client) -> dict[str, float]:
        for number in range(10):
            await execute(client, f"warm-{number}", steps=1)
        return await latencies(count, lambda workflow_id: execute(client, workflow_id, steps=1))

    return run(folder, main, workflows=[sequence], activities=[noop])
