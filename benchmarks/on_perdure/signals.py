"""Signals to one run that waits for all of them."""

import asyncio
import time
from pathlib import Path

from benchmarks.on_perdure.opening import QUEUE, run
from benchmarks.on_perdure.steps import execute, noop, sequence
from perdure import Client, workflow


@workflow.defn
class Receiver:
    """Adds up what it is sent."""

    def __init__(self) -> None:
        self.received = 0
        self.total = 0

    @workflow.run
    async def run(self, count: int) -> int:
        """The sum, once `count` numbers have come."""
        await workflow.wait_condition(lambda: self.received == count)
        return self.total

    @workflow.signal
    def add(self, number: int) -> None:
        """Take one number in."""
        self.received += 1
        self.total += number


def measure(folder: Path, *, count: int) -> dict[str, float]:
    async def main(client: Client) -> dict[str, float]:
        await execute(client, "warm-0", steps=2)
        handle = await client.start_workflow(Receiver.run, count, id="0-0", task_queue=QUEUE)
        began = time.perf_counter()
        await asyncio.gather(*(handle.signal(Receiver.add, number) for number in range(count)))
        acknowledged = time.perf_counter() - began
        assert await handle.result() == count * (count - 1) // 2
        return {"per_second": count / (time.perf_counter() - began), "sent_per_second": count / acknowledged}

    return run(folder, main, workflows=[Receiver, sequence], activities=[noop])
