"""Durable steps a second: runs of sequential no-op steps."""

import time
from pathlib import Path

from dbos import DBOS, SetWorkflowID

from benchmarks.on_dbos.opening import run
from benchmarks.timing import seconds_for_slots


@DBOS.step()
async def noop(number: int) -> int:
    return number


@DBOS.workflow()
async def sequence(steps: int) -> int:
    for number in range(steps):
        await noop(number)
    return steps


async def execute(workflow_id: str, steps: int) -> int:
    with SetWorkflowID(workflow_id):
        return await sequence(steps)


def measure(folder: Path, *, runs: int, repeats: int, steps: int) -> dict[str, float]:
    async def main() -> dict[str, float]:
        await execute("warm-0", steps=2)
        began = time.process_time()
        seconds = await seconds_for_slots(runs, repeats, lambda workflow_id: execute(workflow_id, steps))
        total = runs * repeats * steps
        return {"per_second": total / seconds, "processor_us": (time.process_time() - began) / total * 1e6}

    return run(folder, main())
