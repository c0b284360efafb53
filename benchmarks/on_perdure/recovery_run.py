"""The run that is killed and recovered."""

import os
import signal

from benchmarks.on_perdure.steps import noop
from perdure import activity, workflow

LETHAL = "PERDURE_BENCH_LETHAL"
"""Name of the environment variable with which the last step kills its process."""


@activity.defn
async def last_step() -> None:
    if os.environ.get(LETHAL):
        os.kill(os.getpid(), signal.SIGKILL)


@workflow.defn
async def doomed(steps: int) -> int:
    for number in range(steps - 1):
        await noop(number)
    await last_step()
    return steps
