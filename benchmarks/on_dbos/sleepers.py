"""Many runs that all sleep to the same moment."""

import asyncio
import time
from pathlib import Path

from dbos import DBOS, SetWorkflowID, WorkflowHandleAsync

from benchmarks.on_dbos.opening import run
from benchmarks.timing import resident_mib, until

asleep: set[str] = set()


@DBOS.workflow()
async def sleeper(wake_at: float) -> None:
    asleep.add(str(DBOS.workflow_id))
    await DBOS.sleep_async(max(0.001, wake_at - time.time()))


async def start(workflow_id: str, wake_at: float) -> WorkflowHandleAsync[None]:
    with SetWorkflowID(workflow_id):
        return await DBOS.start_workflow_async(sleeper, wake_at)


async def start_all(group: str, runs: int, wake_at: float) -> list[WorkflowHandleAsync[None]]:
    return await asyncio.gather(*(start(f"{group}-{number}", wake_at) for number in range(runs)))


def measure(folder: Path, *, runs: int) -> dict[str, float]:
    async def main() -> dict[str, float]:
        began = time.perf_counter()
        trial = min(runs, 200)
        for handle in await start_all("warm", trial, 0.0):
            await handle.get_result()
        wake_at = time.time() + 2 + 1.5 * (time.perf_counter() - began) * runs / trial
        asleep.clear()
        began = time.perf_counter()
        handles = await start_all("0", runs, wake_at)
        await until(lambda: len(asleep) == runs, timeout=300)
        started = time.perf_counter() - began
        memory = resident_mib()
        early = wake_at - time.time()
        for handle in handles:
            await handle.get_result()
        woken = time.time() - wake_at
        return {
            "start_per_second": runs / started,
            "wake_per_second": runs / woken,
            "resident_mib": memory,
            "early_s": early,
        }

    return run(folder, main())
