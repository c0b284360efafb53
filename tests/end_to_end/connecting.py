"""How the crash tests connect: by address as users do, or by a store of their own with faults and clocks."""

import time
from collections.abc import Callable
from pathlib import Path

from perdure.client import Client
from perdure_history.sql import open_sqlite

Faults = Callable[[str], None]


class SteppedClock:
    """The machine's wall clock, as somebody steps it. Microseconds since 1970."""

    def __init__(self) -> None:
        self._offset_us = 0

    def __call__(self) -> int:
        return time.time_ns() // 1000 + self._offset_us

    def step(self, *, hours: float) -> None:
        self._offset_us += int(hours * 3600 * 1_000_000)


async def connect(
    database: Path, *, faults: Faults | None = None, clock: Callable[[], int] | None = None
) -> Client:
    """A client of the database, made if it is not there."""
    if faults is None and clock is None:
        return await Client.connect(f"sqlite:///{database}")
    store = await open_sqlite(
        database, clock=clock or SteppedClock(), **({} if faults is None else {"faults": faults})
    )
    return Client(store)
