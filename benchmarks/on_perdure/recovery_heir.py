"""Starts a worker on what the victim left; nobody tells it to resume anything."""

import time
from pathlib import Path

from benchmarks.on_perdure.opening import run
from benchmarks.on_perdure.recovery_run import doomed, last_step
from benchmarks.on_perdure.steps import noop
from perdure import Client


def measure(folder: Path, *, steps: int) -> dict[str, float]:
    began = time.perf_counter()

    async def main(client: Client) -> dict[str, float]:
        assert await client.get_workflow_handle("0-0").result() == steps
        return {"worker_s": time.perf_counter() - began, "wall_clock": time.time()}

    return run(folder, main, workflows=[doomed], activities=[noop, last_step])
