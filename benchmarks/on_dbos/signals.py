"""Messages to one run that waits for all of them."""

import asyncio
import time
from pathlib import Path

from dbos import DBOS, SetWorkflowID

from benchmarks.on_dbos.opening import run
from benchmarks.on_dbos.steps import execute


@DBOS.workflow()
async def receiver(count: int) -> int:
    total = 0
    for _ in range(count):
        total += await DBOS.recv_async()
    return total


def measure(folder: Path, *, count: int) -> dict[str, float]:
    async def main() -> dict[str, float]:
        await execute("warm-0", steps=2)
        with SetWorkflowID("0-0"):
            handle = await DBOS.start_workflow_async(receiver, count)
        began = time.perf_counter()
        await asyncio.gather(*(DBOS.send_async("0-0", number) for number in range(count)))
        acknowledged = time.perf_counter() - began
        assert await handle.get_result() == count * (count - 1) // 2
        return {"per_second": count / (time.perf_counter() - began), "sent_per_second": count / acknowledged}

    return run(folder, main())
