"""The database files that this process has open: one committer each, shared by all stores.

A fork copies SQLite's memory of its locks but not the locks, so a child must not touch a file that its parent
had open, not even through a new connection. It gets ForkedStoreError, and leaves the parent's files alone.
"""

import asyncio
import atexit
import contextlib
import os
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

from perdure_history.errors import ForkedStoreError, StoreUnavailableError
from perdure_history.sql.committer import Committer
from perdure_history.sql.dialect import Dialect
from perdure_history.sql.liveness import WorkerLocks
from perdure_history.sql.migrations import migrate, pending
from perdure_history.sql.writer import Faults, connect_briefly

_EXIT_SECONDS = 5.0
_FORK_SECONDS = 1.0

FileKey = tuple[int, int]
"""Device and inode: the same file whatever its path."""


class DatabaseFile:
    """An open file: its committer and the locks of its workers."""

    def __init__(self, committer: Committer, locks: WorkerLocks, key: FileKey) -> None:
        self.committer = committer
        self.locks = locks
        self.key = key
        self.users = 0


class OpenFiles:
    """All database files of the process."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._files: dict[FileKey, DatabaseFile] = {}
        self._closing: dict[FileKey, Committer] = {}
        self._inherited: set[FileKey] = set()
        self._at_exit: set[Callable[[], None]] = set()
        self._leaked: list[object] = []
        self._frozen: list[threading.Lock] = []
        self._ending = False

    def take(
        self,
        path: str,
        url: str,
        dialect: Dialect,
        *,
        clock: Callable[[], int],
        faults: Faults,
        patience_seconds: float,
    ) -> DatabaseFile:
        """The open file at `path`, opened now if it is not; give it back with `give_back`.

        Creates an empty file, readable by its owner alone, when there is none. Wait for `committer.opened`.
        Raises StoreUnavailableError, ForkedStoreError.
        """
        with self._guard:
            key = _create(path, url)
            if key in self._inherited:
                raise ForkedStoreError(url)
            found = self._files.get(key)
            if found is None:

                def inspect() -> None:
                    # Before anything is changed, be it only the journal mode or a directory beside the file.
                    with contextlib.closing(connect_briefly(path)) as connection:
                        pending(connection, dialect, url=url)

                def prepare(connection: sqlite3.Connection) -> None:
                    migrate(connection, dialect, url=url, now=clock())

                committer = Committer(
                    path,
                    url,
                    dialect,
                    inspect=inspect,
                    prepare=prepare,
                    clock=clock,
                    faults=faults,
                    patience_seconds=patience_seconds,
                    predecessor=self._closing.pop(key, None),
                )
                found = self._files[key] = DatabaseFile(committer, WorkerLocks(path), key)
            found.users += 1
            return found

    async def give_back(self, file: DatabaseFile) -> None:
        """Close the file when this was its last user; the rest of its queue is committed first."""
        with self._guard:
            file.users -= 1
            if file.users > 0:
                return
            if self._files.get(file.key) is file:
                del self._files[file.key]
                self._closing[file.key] = file.committer
            file.committer.stop()
        await asyncio.get_running_loop().run_in_executor(None, file.committer.join)
        file.locks.release_all()
        with self._guard:
            if self._closing.get(file.key) is file.committer:
                del self._closing[file.key]

    def call_at_exit(self, stop: Callable[[], None]) -> Callable[[], None]:
        """Run `stop` before the interpreter waits for its threads; what is given back takes that back."""
        self._at_exit.add(stop)

        def remove() -> None:
            self._at_exit.discard(stop)

        return remove

    def stop_readers(self) -> None:
        """End the threads of stores that nobody closed; the interpreter would wait for them for ever."""
        for stop in list(self._at_exit):
            stop()

    def close_all(self) -> None:
        """Close what nobody closed, at the interpreter's exit."""
        files = list(self._files.values())
        for file in files:
            with contextlib.suppress(Exception):
                file.committer.stop()
        for file in files:
            file.committer.join(_EXIT_SECONDS)

    def before_fork(self) -> None:
        """Let transactions end, so that the child copies none that is half done."""
        self._guard.acquire()
        for file in self._files.values():
            lock = file.committer.between_transactions
            if lock.acquire(timeout=_FORK_SECONDS):
                self._frozen.append(lock)

    def after_fork_in_parent(self) -> None:
        """Go on."""
        frozen, self._frozen = self._frozen, []
        for lock in frozen:
            lock.release()
        self._guard.release()

    def after_fork_in_child(self) -> None:
        """Forget the parent's files without closing anything."""
        self._inherited |= self._files.keys() | self._closing.keys()
        # Kept, so that no destructor closes a connection of the parent while the child runs.
        self._leaked.extend([*self._files.values(), *self._closing.values()])
        self._files = {}
        self._closing = {}
        self._at_exit = set()
        self._frozen = []
        self._guard = threading.Lock()


def _create(path: str, url: str) -> FileKey:
    try:
        # Only ever a new file: closing the descriptor of one that is in use would drop SQLite's locks.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        pass
    except OSError as error:
        raise StoreUnavailableError(url, _why(path, error)) from error
    file = Path(path)
    if not file.is_file():
        raise StoreUnavailableError(url, f"{path} is not a file")
    if not os.access(path, os.R_OK | os.W_OK):
        raise StoreUnavailableError(url, f"{path} cannot be read and written by this user")
    facts = file.stat()
    return facts.st_dev, facts.st_ino


def _why(path: str, error: OSError) -> str:
    directory = Path(path).parent
    if isinstance(error, IsADirectoryError):
        return f"{path} is a directory"
    if not directory.is_dir():
        return f"the directory {directory} does not exist; create it, or correct the path"
    return f"{path} cannot be created: {error.strerror}"


FILES = OpenFiles()
"""The process's own."""

_pid = os.getpid()


def _close_all() -> None:
    FILES.close_all()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=FILES.before_fork,
        after_in_parent=FILES.after_fork_in_parent,
        after_in_child=FILES.after_fork_in_child,
    )
# atexit runs too late for aiosqlite's threads: the interpreter waits for them first. This hook is the one that
# concurrent.futures uses for the same purpose; without it a store that nobody closed would hang the exit.
_before_join = getattr(threading, "_register_atexit", None)
if _before_join is not None:
    _before_join(FILES.stop_readers)
