"""The one connection of a process that writes to a database file.

Owned by the committer's thread and called by no other. A commit here is durable (WAL, synchronous=FULL). When
the process dies at any point, SQLite keeps the whole transaction or nothing of it; when a COMMIT gives an
error, nobody knows which, and `UnknownCommitError` says so.

Fault points, in their order, for tests that kill the process or raise there:

    begin, then for each statement its name, commit, committed, checkpoint, checkpointed
"""

import contextlib
import sqlite3
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from perdure_history.errors import HistoryError
from perdure_history.records import Change
from perdure_history.sql.dialect import Dialect
from perdure_history.sql.sidecar import WriterLock, sidecar_of
from perdure_history.sql.statements import Answer, Ask, Transaction

Faults = Callable[[str], None]

Make = Callable[[list[Change]], Transaction[Any]]
"""Makes a transaction anew, to be run once; it puts what listeners should hear on the list. Any: its result."""

PAGES_BEFORE_CHECKPOINT = 2000
"""About 8 MiB of log: the database is then brought up to date. A guess at pages is enough."""

_PAGE_BYTES = 4096
_BUSY_MS = 100
"""Writers that are not perdure take no writer lock; SQLite waits this long for them before we look again."""


def no_faults(point: str) -> None:
    """Let everything succeed."""


class UnknownCommitError(Exception):
    """COMMIT gave an error, or its answer was lost: the transaction happened, or not."""

    def __init__(self, why: str, changes: Sequence[Change]) -> None:
        self.changes = changes
        """What listeners should hear if it happened."""
        super().__init__(why)


class Reply:
    """What one transaction of a group came to: a value, or the error that is its answer."""

    __slots__ = ("changes", "error", "value")

    def __init__(
        self, value: object = None, *, error: BaseException | None = None, changes: Sequence[Change] = ()
    ) -> None:
        self.value = value
        self.error = error
        self.changes = changes


class Writer:
    """A connection that runs groups of transactions, each group in one commit."""

    def __init__(self, path: str, dialect: Dialect, *, faults: Faults = no_faults) -> None:
        self._path = path
        self._dialect = dialect
        self._faults = faults
        self._lock = WriterLock(sidecar_of(path))
        self._connection: sqlite3.Connection | None = None
        self._pages = 0
        self._wrote = False

    def open(self, prepare: Callable[[sqlite3.Connection], None], *, until: float) -> None:
        """Connect, set SQLite up and run `prepare`, alone among the processes that do so."""
        self._lock.acquire(until=until)
        try:
            self._connection = connect_writer(self._path)
            prepare(self._connection)
        except BaseException:
            self._drop()
            raise
        finally:
            self._lock.release()

    def close(self, *, until: float) -> None:
        """Close the connection; the last one of a file also empties its log, so nobody may write meanwhile."""
        with contextlib.suppress(Exception):
            self._lock.acquire(until=until)
        self._drop()
        self._lock.close()

    def commit(self, group: Sequence[Make], *, until: float) -> list[Reply]:
        """Run the group in one transaction; one reply each, in order.

        Any error but a transaction's own answer (a HistoryError raised before it wrote) undoes the whole
        group and is raised. Raises UnknownCommitError when COMMIT itself failed.
        """
        self._lock.acquire(until=until)
        try:
            connection = self._connected()
            self._faults("begin")
            connection.execute("BEGIN IMMEDIATE")
            replies = [self._drive(connection, make) for make in group]
            self._finish(connection, replies)
            return replies
        except BaseException:
            self._roll_back()
            raise
        finally:
            self._lock.release()

    def checkpoint_is_due(self) -> bool:
        """Whether the log has grown enough."""
        return self._pages >= PAGES_BEFORE_CHECKPOINT

    def checkpoint(self, *, until: float) -> None:
        """Bring the database file up to date with its log, while no process writes. Readers go on."""
        self._pages = 0
        self._lock.acquire(until=until)
        try:
            self._faults("checkpoint")
            self._connected().execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            self._faults("checkpointed")
        finally:
            self._lock.release()

    def data_version(self) -> int:
        """A number that changes when another connection commits; touches no table. 0: not connected."""
        if self._connection is None:
            return 0
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def _connected(self) -> sqlite3.Connection:
        """The raw connection, made anew when the last one was thrown away; with the lock held."""
        if self._connection is None:
            self._connection = connect_writer(self._path)
        return self._connection

    def _finish(self, connection: sqlite3.Connection, replies: Sequence[Reply]) -> None:
        try:
            self._faults("commit")
            connection.execute("COMMIT")
            self._faults("committed")
        except sqlite3.Error as error:
            if connection.in_transaction and _is_busy(error):
                raise
            # Only a new connection can tell what the file holds.
            self._drop()
            changes = [change for reply in replies for change in reply.changes]
            raise UnknownCommitError(str(error), changes) from error

    def _drive(self, connection: sqlite3.Connection, make: Make) -> Reply:
        """Run one transaction to its end. Its own refusal is its answer if it has not written anything."""
        changes: list[Change] = []
        self._wrote = False
        transaction = make(changes)
        try:
            ask = next(transaction)
            while True:
                ask = transaction.send(self._answer(connection, ask))
        except StopIteration as end:
            return Reply(end.value, changes=changes)
        except HistoryError as refusal:
            if self._wrote:
                raise
            return Reply(error=refusal)

    def _answer(self, connection: sqlite3.Connection, ask: Ask) -> Answer:
        statement, values, many = ask
        self._faults(statement.name)
        compiled = statement.compiled(self._dialect.compiler)
        if many:
            self._wrote = True
            cursor = connection.executemany(compiled.text, values)
            self._pages += 4 + len(values)
            return Answer([], cursor.rowcount)
        if isinstance(values, dict):
            values = compiled.values(values)
        cursor = connection.execute(compiled.text, values)
        if not statement.writes:
            return Answer(cursor.fetchall(), 0)
        self._wrote = True
        # An insert of many rows has a value for each of their columns.
        self._pages += 4 + len(values) // 8
        return Answer([], cursor.rowcount)

    def _roll_back(self) -> None:
        connection = self._connection
        if connection is None or not connection.in_transaction:
            return
        try:
            connection.execute("ROLLBACK")
        except sqlite3.Error:
            # A connection that cannot even undo is of no use; closing it undoes.
            self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                connection.close()


def connect_writer(path: str) -> sqlite3.Connection:
    """A connection that writes durably and never checkpoints by itself."""
    connection = sqlite3.connect(
        path, timeout=_BUSY_MS / 1000, isolation_level=None, check_same_thread=False, cached_statements=512
    )
    try:
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("PRAGMA journal_mode=WAL").fetchone()
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA mmap_size=0")
    except BaseException:
        connection.close()
        raise
    return connection


def connect_briefly(path: str) -> sqlite3.Connection:
    """A connection for one look at a file that exists: its statements change nothing.

    It may write all the same (not `mode=ro`), so that it leaves no log behind when it is the last to close.
    """
    connection = sqlite3.connect(f"{Path(path).as_uri()}?mode=rw", uri=True, timeout=_BUSY_MS / 1000)
    connection.execute("PRAGMA wal_autocheckpoint=0")
    connection.execute("PRAGMA query_only=ON")
    return connection


def soon(seconds: float) -> float:
    """A moment on the monotonic clock."""
    return time.monotonic() + seconds


def _is_busy(error: sqlite3.Error) -> bool:
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
