"""The run that is killed and recovered; imported under one name by both processes, as DBOS compares its source."""

import os
import signal

from dbos import DBOS

from benchmarks.on_dbos.steps import noop

LETHAL = "PERDURE_BENCH_LETHAL"
"""Name of the environment variable with which the last step kills its process."""


@DBOS.step()
async def last_step() -> None:
    if os.environ.get(LETHAL):
        os.kill(os.getpid(), signal.SIGKILL)


@DBOS.workflow()
async def doomed(steps: int) -> int:
    for number in range(steps - 1):
        await noop(number)
    await last_step()
    return steps
