"""One run that starts all its steps at once and waits for all."""

import asyncio
import time
from pathlib import Path

from benchmarks.on_perdure.opening import QUEUE, run
from benchmarks.on_perdure.steps import execute, noop, sequence
from perdure import Client, workflow


@workflow.defn
async def fan_out(width: int) -> int:
    return sum(await asyncio.gather(*(noop(number) for number in range(width))))


def measure(folder: Path, *, width: int) -> dict[str, float]:
    async def main(client: Client) -> dict[str, float]:
        await execute(client, "warm-0", steps=2)
        began = time.perf_counter()
        total = await client.execute_workflow(fan_out, width, id="0-0", task_queue=QUEUE)
        assert total == width * (width - 1) // 2
        return {"per_second": width / (time.perf_counter() - began)}

    return run(folder, main, workflows=[sequence, fan_out], activities=[noop])
