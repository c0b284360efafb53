"""Which stores the contract is tested on. A new store adds a line to STORES."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from perdure_history.memory import MemoryStore
from perdure_history.sql import open_sqlite
from perdure_history.store import Store

START_OF_TIME = 1_700_000_000_000_000


class ManualClock:
    """Store time that stands still until a test moves it."""

    def __init__(self) -> None:
        self.micros = START_OF_TIME

    def __call__(self) -> int:
        return self.micros

    def advance(self, micros: int) -> None:
        self.micros += micros


StoreFactory = Callable[[Path, ManualClock], Awaitable[Store]]


async def open_memory(folder: Path, clock: ManualClock) -> Store:
    return MemoryStore(clock=clock)


async def open_sqlite_file(folder: Path, clock: ManualClock) -> Store:
    return await open_sqlite(folder / "store.db", clock=clock)


STORES: dict[str, StoreFactory] = {
    "memory": open_memory,
    "sqlite": open_sqlite_file,
}
"""Opens an empty store that keeps what it keeps in the given folder and reads the given clock."""
