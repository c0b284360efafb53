"""Small arithmetic on durations; imported by every side, so it needs the standard library only."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any


def percentile(values: Sequence[float], share: float) -> float:
    """The smallest value that at least `share` (0 to 1) of `values` do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1)]


async def seconds_for_slots(
    runs: int, repeats: int, execute: Callable[[str], Coroutine[Any, Any, Any]]
) -> float:
    """Seconds until `runs` slots have each called `execute` `repeats` times, one call after the other.

    `execute` gets the id of the run: `<repeat>-<slot>`.
    """

    async def slot(number: int) -> None:
        for repeat in range(repeats):
            await execute(f"{repeat}-{number}")

    began = time.perf_counter()
    await asyncio.gather(*(slot(number) for number in range(runs)))
    return time.perf_counter() - began


async def latencies(count: int, execute: Callable[[str], Coroutine[Any, Any, Any]]) -> dict[str, float]:
    """Milliseconds of `count` calls, one after the other: the median and the 99th percentile."""
    taken: list[float] = []
    for number in range(count):
        began = time.perf_counter()
        await execute(f"{number}-0")
        taken.append((time.perf_counter() - began) * 1e3)
    return {"p50_ms": percentile(taken, 0.5), "p99_ms": percentile(taken, 0.99)}


async def until(condition: Callable[[], bool], *, timeout: float) -> None:
    """Wait, looking each 2 ms, until `condition` holds. Raises TimeoutError."""
    async with asyncio.timeout(timeout):
        while not condition():  # noqa: ASYNC110 - what is waited for happens inside workflow code
            await asyncio.sleep(0.002)


def resident_mib() -> float:
    """Memory of this process that is in RAM now, in MiB; 0 where /proc does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096 / 2**20
    except OSError:
        return 0.0
