"""Runs all steps but one and dies of SIGKILL in the last."""

import os
from pathlib import Path

from dbos import SetWorkflowID

from benchmarks.on_dbos.opening import run
from benchmarks.on_dbos.recovery_run import LETHAL, doomed


def measure(folder: Path, *, steps: int) -> dict[str, float]:
    os.environ[LETHAL] = "1"

    async def main() -> dict[str, float]:
        with SetWorkflowID("0-0"):
            await doomed(steps)
        return {}

    return run(folder, main())
