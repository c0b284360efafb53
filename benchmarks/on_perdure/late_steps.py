"""Does a step get dearer as its run gets longer?

A long run is brought near its end. Then a window of its steps and a window of the first steps of a new, short
run take turns, so that noise on the machine hits both; the figures are medians over the repeats.
"""

import asyncio
import statistics
import time
from pathlib import Path
from typing import Any

from benchmarks.on_perdure.opening import QUEUE, run
from perdure import Client, activity, workflow

times: list[float] = []
window_ended = asyncio.Event()


@activity.defn
async def clocked(is_last: bool) -> None:
    times.append(time.perf_counter())
    if is_last:
        window_ended.set()


@workflow.defn
class Windows:
    """Makes as many steps as each signal tells, and ends when that is none."""

    def __init__(self) -> None:
        self.told: list[int] = []

    @workflow.run
    async def run(self) -> None:
        """Make the steps of one signal after the other."""
        while True:
            await workflow.wait_condition(lambda: bool(self.told))
            steps = self.told.pop(0)
            if steps == 0:
                return
            for number in range(steps):
                await clocked(number == steps - 1)

    @workflow.signal
    def go(self, steps: int) -> None:
        """Make `steps` steps; 0: end."""
        self.told.append(steps)


async def window(handle: Any, steps: int) -> float:
    """Microseconds a step, over the next `steps` steps of the run."""
    times.clear()
    window_ended.clear()
    await handle.signal(Windows.go, steps)
    await window_ended.wait()
    return (times[-1] - times[0]) / (steps - 1) * 1e6


def measure(folder: Path, *, late: int, early: int, window_steps: int, repeats: int) -> dict[str, float]:
    async def main(client: Client) -> dict[str, float]:
        long_run = await client.start_workflow(Windows.run, id="0-0", task_queue=QUEUE)
        await window(long_run, late - repeats * window_steps)
        late_steps: list[float] = []
        early_steps: list[float] = []
        for repeat in range(repeats):
            short_run = await client.start_workflow(Windows.run, id=f"{repeat + 1}-0", task_queue=QUEUE)
            early_steps.append(await window(short_run, window_steps))
            late_steps.append(await window(long_run, window_steps))
            await window(short_run, early - window_steps)
            await short_run.signal(Windows.go, 0)
        return {
            "ratio": statistics.median(late_steps) / statistics.median(early_steps),
            "late_us": statistics.median(late_steps),
            "early_us": statistics.median(early_steps),
            "late_spread": max(late_steps) / min(late_steps),
            "early_spread": max(early_steps) / min(early_steps),
        }

    return run(folder, main, workflows=[Windows], activities=[clocked])
