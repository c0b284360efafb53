"""Durable steps a second: runs of sequential no-op steps."""

import time
from pathlib import Path

from benchmarks.on_perdure.opening import QUEUE, run
from benchmarks.timing import seconds_for_slots
from perdure import Client, activity, workflow


@activity.defn
async def noop(number: int) -> int:
    return number


@workflow.defn
async def sequence(steps: int) -> int:
    for number in range(steps):
        await noop(number)
    return steps


async def execute(client: Client, workflow_id: str, steps: int) -> int:
    result: int = await client.execute_workflow(sequence, steps, id=workflow_id, task_queue=QUEUE)
    return result


def measure(folder: Path, *, runs: int, repeats: int, steps: int) -> dict[str, float]:
    async def main(client: Client) -> dict[str, float]:
        await execute(client, "warm-0", steps=2)
        began = time.process_time()
        seconds = await seconds_for_slots(
            runs, repeats, lambda workflow_id: execute(client, workflow_id, steps)
        )
        total = runs * repeats * steps
        return {"per_second": total / seconds, "processor_us": (time.process_time() - began) / total * 1e6}

    return run(folder, main, workflows=[sequence], activities=[noop], max_cached_workflows=max(1000, runs))
