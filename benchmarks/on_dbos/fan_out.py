"""One run that starts all its steps at once and waits for all."""

import asyncio
import time
from pathlib import Path

from dbos import DBOS, SetWorkflowID

from benchmarks.on_dbos.opening import run
from benchmarks.on_dbos.steps import execute, noop


@DBOS.workflow()
async def fan_out(width: int) -> int:
    return sum(await asyncio.gather(*(noop(number) for number in range(width))))


def measure(folder: Path, *, width: int) -> dict[str, float]:
    async def main() -> dict[str, float]:
        await execute("warm-0", steps=2)
        began = time.perf_counter()
        with SetWorkflowID("0-0"):
            assert await fan_out(width) == width * (width - 1) // 2
        return {"per_second": width / (time.perf_counter() - began)}

    return run(folder, main())
