"""One long run of sequential steps."""

import time
from pathlib import Path

from benchmarks.on_perdure.opening import run
from benchmarks.on_perdure.steps import execute, noop, sequence
from perdure import Client


def measure(folder: Path, *, steps: int) -> dict[str, float]:
    async def main(client: Client) -> dict[str, float]:
        await execute(client, "warm-0", steps=20)
        began = time.perf_counter()
        await execute(client, "0-0", steps)
        return {"per_second": steps / (time.perf_counter() - began)}

    return run(folder, main, workflows=[sequence], activities=[noop])
