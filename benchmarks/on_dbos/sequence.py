"""One long run of sequential steps."""

import time
from pathlib import Path

from benchmarks.on_dbos.opening import run
from benchmarks.on_dbos.steps import execute


def measure(folder: Path, *, steps: int) -> dict[str, float]:
    async def main() -> dict[str, float]:
        await execute("warm-0", steps=20)
        began = time.perf_counter()
        await execute("0-0", steps)
        return {"per_second": steps / (time.perf_counter() - began)}

    return run(folder, main())
