"""Many runs that all sleep to the same moment; the worker keeps a thousand of them in memory."""

import asyncio
import time
from pathlib import Path
from typing import Any

from benchmarks.on_perdure.opening import QUEUE, run
from benchmarks.timing import resident_mib, until
from perdure import Client, workflow

asleep: set[str] = set()


@workflow.defn
async def sleeper(wake_at: float) -> None:
    # Not a fact of the run: the bench only wants to know when all of them sleep.
    asleep.add(workflow.info().workflow_id)
    await workflow.sleep(max(0.001, wake_at - workflow.time()))


async def start_all(client: Client, group: str, runs: int, wake_at: float) -> list[Any]:
    """Handles of `runs` new sleepers."""
    return await asyncio.gather(
        *(
            client.start_workflow(sleeper, wake_at, id=f"{group}-{number}", task_queue=QUEUE)
            for number in range(runs)
        )
    )


def measure(folder: Path, *, runs: int) -> dict[str, float]:
    async def main(client: Client) -> dict[str, float]:
        began = time.perf_counter()
        trial = min(runs, 200)
        for handle in await start_all(client, "warm", trial, 0.0):
            await handle.result()
        wake_at = time.time() + 2 + 1.5 * (time.perf_counter() - began) * runs / trial
        asleep.clear()
        began = time.perf_counter()
        handles = await start_all(client, "0", runs, wake_at)
        await until(lambda: len(asleep) == runs, timeout=300)
        started = time.perf_counter() - began
        memory = resident_mib()
        early = wake_at - time.time()
        for handle in handles:
            await handle.result()
        woken = time.time() - wake_at
        return {
            "start_per_second": runs / started,
            "wake_per_second": runs / woken,
            "resident_mib": memory,
            "early_s": early,
        }

    return run(folder, main, workflows=[sleeper], max_cached_workflows=1000)
