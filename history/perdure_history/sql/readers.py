"""Reading connections: one for each store and event loop, so that readers never wait for the writer.

They are read-only and never checkpoint. A read that its caller gives up is waited for all the same (reads are
short), because aiosqlite's thread cannot answer a loop that was closed meanwhile.
"""

import asyncio
import contextlib
import sqlite3
import threading
from pathlib import Path
from typing import Any

import aiosqlite

from perdure_history.sql.dialect import Dialect
from perdure_history.sql.statements import Row, Statement

_BUSY_SECONDS = 5.0


class Readers:
    """The reading connections of one store."""

    def __init__(self, path: str, dialect: Dialect) -> None:
        self._uri = Path(path).as_uri() + "?mode=ro"
        self._dialect = dialect
        self._lock = threading.Lock()
        self._by_loop: dict[asyncio.AbstractEventLoop, asyncio.Future[aiosqlite.Connection]] = {}

    async def fetch(self, statement: Statement, values: dict[str, Any]) -> list[Row]:
        """All rows of a query, as of one moment. Any: values of any column. Raises sqlite3.Error."""
        compiled = statement.compiled(self._dialect.compiler)
        connection = await self._connection()
        reading = asyncio.ensure_future(connection.execute_fetchall(compiled.text, compiled.values(values)))
        return list(await _to_its_end(reading))

    async def close(self) -> None:
        """Close all connections, those of other loops as well."""
        with self._lock:
            opened, self._by_loop = self._by_loop, {}
        here = asyncio.get_running_loop()
        for loop, opening in opened.items():
            if loop is here:
                with contextlib.suppress(sqlite3.Error, asyncio.CancelledError):
                    await (await opening).close()
            else:
                _stop(opening)

    def abandon(self) -> None:
        """End the threads without waiting, at the interpreter's exit."""
        with self._lock:
            opened, self._by_loop = self._by_loop, {}
        for opening in opened.values():
            _stop(opening)

    async def _connection(self) -> aiosqlite.Connection:
        loop = asyncio.get_running_loop()
        with self._lock:
            opening = self._by_loop.get(loop)
            if opening is None:
                for other in [known for known in self._by_loop if known.is_closed()]:
                    _stop(self._by_loop.pop(other))
                opening = self._by_loop[loop] = asyncio.ensure_future(self._open())
        try:
            return await asyncio.shield(opening)
        except sqlite3.Error:
            with self._lock:
                self._by_loop.pop(loop, None)
            raise

    async def _open(self) -> aiosqlite.Connection:
        connection = await aiosqlite.connect(
            self._uri, uri=True, isolation_level=None, timeout=_BUSY_SECONDS, cached_statements=256
        )
        for pragma in ("query_only=ON", "wal_autocheckpoint=0", "mmap_size=0"):
            await connection.execute_fetchall(f"PRAGMA {pragma}")
        return connection


async def _to_its_end(reading: asyncio.Future[Any]) -> Any:
    """The result of `reading`, which outlives no caller. Any: as the driver gives it."""
    try:
        return await asyncio.shield(reading)
    except asyncio.CancelledError:
        if not reading.done():
            await asyncio.wait([reading])
        if not reading.cancelled():
            reading.exception()
        raise


def _stop(opening: asyncio.Future[aiosqlite.Connection]) -> None:
    if opening.done() and not opening.cancelled() and opening.exception() is None:
        opening.result().stop()  # pyright: ignore[reportUnknownMemberType]  # aiosqlite says Future of nothing
