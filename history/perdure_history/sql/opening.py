"""Opens stores on SQLite files."""

import asyncio
import os
from collections.abc import Callable

from perdure_history.clock import wall_clock
from perdure_history.sql.files import FILES
from perdure_history.sql.sqlite import SqliteDialect
from perdure_history.sql.store import SqlStore
from perdure_history.sql.writer import Faults, no_faults

_DIALECT = SqliteDialect()


async def open_sqlite(
    path: str | os.PathLike[str],
    *,
    clock: Callable[[], int] = wall_clock,
    faults: Faults = no_faults,
    patience_seconds: float = 10.0,
) -> SqlStore:
    """A store on the SQLite file at `path`, which is created if there is none; close it when done.

    All stores of a process on one file share a thread and a connection that write, so `clock`, `faults` and
    `patience_seconds` of the first one count for the writes of all. `patience_seconds` is how long a write
    tries again while others keep the file locked. `faults` is called with the name of each point at which a
    crash could leave something behind; see `writer`.

    Raises StoreUnavailableError, ForeignDatabaseError, NewerSchemaError, ForkedStoreError.
    """
    real = os.path.realpath(path)  # noqa: ASYNC240  # no network: the file is local
    url = f"sqlite:///{real}"
    file = FILES.take(real, url, _DIALECT, clock=clock, faults=faults, patience_seconds=patience_seconds)
    try:
        await asyncio.wrap_future(file.committer.opened)
    except BaseException:
        await FILES.give_back(file)
        raise
    return SqlStore(file, _DIALECT, url=url, clock=clock)
