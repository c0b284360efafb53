"""Launches DBOS on what the victim left; recovery is its own doing."""

import asyncio
import time
from pathlib import Path

from dbos import DBOS

from benchmarks.on_dbos import recovery_run  # registers the workflow before the launch
from benchmarks.on_dbos.opening import configure


def measure(folder: Path, *, steps: int) -> dict[str, float]:
    assert recovery_run.doomed
    configure(folder)
    began = time.perf_counter()
    DBOS.launch()

    async def main() -> dict[str, float]:
        handle = await DBOS.retrieve_workflow_async("0-0")
        assert await handle.get_result(polling_interval_sec=0.01) == steps
        return {"worker_s": time.perf_counter() - began, "wall_clock": time.time()}

    try:
        return asyncio.run(main())
    finally:
        DBOS.destroy()
