"""Runs all steps but one and dies of SIGKILL in the last."""

import os
from pathlib import Path

from benchmarks.on_perdure.opening import QUEUE, run
from benchmarks.on_perdure.recovery_run import LETHAL, doomed, last_step
from benchmarks.on_perdure.steps import noop
from perdure import Client


def measure(folder: Path, *, steps: int) -> dict[str, float]:
    os.environ[LETHAL] = "1"

    async def main(client: Client) -> dict[str, float]:
        await client.execute_workflow(doomed, steps, id="0-0", task_queue=QUEUE)
        return {}

    return run(folder, main, workflows=[doomed], activities=[noop, last_step])
