"""An open database file as one store sees it: writes to the committer, reads on connections of its own."""

import os
import sqlite3
from collections.abc import Callable
from typing import Any

from perdure_history.clock import wall_clock
from perdure_history.errors import ForkedStoreError, StoreClosedError, StoreUnavailableError
from perdure_history.records import Change
from perdure_history.sql.dialect import Dialect
from perdure_history.sql.files import FILES, DatabaseFile
from perdure_history.sql.readers import Readers
from perdure_history.sql.statements import Row, Statement
from perdure_history.store import Listener


class SqlAccess:
    """What clients and workers share; see `store.Store`."""

    def __init__(
        self, file: DatabaseFile, dialect: Dialect, *, url: str, clock: Callable[[], int] = wall_clock
    ) -> None:
        self._file = file
        self._committer = file.committer
        self._readers = Readers(file.committer.path, dialect)
        self._url = url
        self._clock = clock
        self._pid = os.getpid()
        self._closed = False
        self._subscriptions: set[Callable[[], None]] = set()
        self._forget_exit = FILES.call_at_exit(self._readers.abandon)

    @property
    def url(self) -> str:
        """The address of the file."""
        return self._url

    def now(self) -> int:
        """This machine's wall clock."""
        return self._clock()

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Tell `listener` on the committer's thread, of other processes' commits too."""
        self._check_open()
        remove = self._committer.subscribe(listener)

        def stop() -> None:
            self._subscriptions.discard(stop)
            remove()

        self._subscriptions.add(stop)
        return stop

    async def close(self) -> None:
        """Give the connections back; the last store of the process on a file also closes the file."""
        if self._closed:
            return
        if self._pid != os.getpid():
            raise ForkedStoreError(self._url)
        self._closed = True
        self._forget_exit()
        for stop in list(self._subscriptions):
            stop()
        await self._readers.close()
        await FILES.give_back(self._file)

    # Any: each transaction has a result of its own type.
    async def _write(self, make: Callable[[list[Change]], Any]) -> Any:
        self._check_open()
        return await self._committer.run(make)

    async def _read(self, statement: Statement, values: dict[str, Any]) -> list[Row]:
        self._check_open()
        try:
            return await self._readers.fetch(statement, values)
        except sqlite3.Error as error:
            raise StoreUnavailableError(self._url, f"{error}. Reading again is always safe") from error

    def _check_open(self) -> None:
        if self._pid != os.getpid():
            raise ForkedStoreError(self._url)
        if self._closed:
            raise StoreClosedError(self._url)
