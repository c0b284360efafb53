"""The directory beside a database file, and the lock by which processes take turns to write.

`<database>-perdure/` holds

    writer.lock            locked for each write transaction and each checkpoint
    <incarnation>.lock     locked by a worker's process while it lives (see `liveness`)

None of these files has content: only POSIX record locks on them matter. The database file itself and its
`-wal` and `-shm` are never opened here, since closing any descriptor of a file drops all POSIX locks that the
process holds on it, SQLite's among them.
"""

import contextlib
import errno
import os
import time
from collections.abc import Callable
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: SQLite's own locks alone decide there
    fcntl = None  # type: ignore[assignment]  # the platform has no such module

LOCKS_WORK = fcntl is not None
"""Whether this platform has POSIX record locks."""

_CONTENDED = (errno.EACCES, errno.EAGAIN)
_PAUSE = 0.0002
_LONGEST_PAUSE = 0.002
_TURN = 0
_NEXT = 1
"""Bytes of the file: whose is the turn, and who is the next to have it."""


class WriterBusyError(Exception):
    """Another process kept the writer lock for too long."""


def sidecar_of(path: str) -> Path:
    """The directory beside the database at `path`."""
    return Path(f"{path}-perdure")


def try_lock(descriptor: int, byte: int = 0) -> bool:
    """Lock one byte of the file for this process, unless another has it."""
    if fcntl is None:
        return True
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, byte)
    except OSError as error:
        if error.errno in _CONTENDED:
            return False
        raise
    return True


def unlock(descriptor: int, byte: int = 0) -> None:
    """Give one byte of the file up."""
    if fcntl is not None:
        fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, byte)


class WriterLock:
    """The turn to write: held by one process at a time, used by one thread of it.

    A write transaction and a checkpoint both hold it, so that no checkpoint ever runs beside a commit. It
    must be exclusive for the writers too: they are serial in SQLite anyway, and with shared locks busy
    writers would keep a checkpoint waiting for ever. When a process dies, the kernel frees its lock.
    """

    def __init__(self, directory: Path, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._sleep = sleep
        directory.mkdir(mode=0o700, exist_ok=True)
        self._descriptor = os.open(directory / "writer.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def acquire(self, *, until: float) -> None:
        """Wait for the turn until `until` (time.monotonic). Raises WriterBusyError.

        Asks again and again instead of waiting in the kernel, which has no time limit for these locks. Only
        one process at a time asks for the turn, so one that writes all the time cannot have it twice in a row
        while another waits.
        """
        self._take(_NEXT, until=until, longest=_LONGEST_PAUSE)
        try:
            self._take(_TURN, until=until, longest=_PAUSE)
        finally:
            unlock(self._descriptor, _NEXT)

    def release(self) -> None:
        """Let others write."""
        unlock(self._descriptor, _TURN)

    def _take(self, byte: int, *, until: float, longest: float) -> None:
        pause = _PAUSE
        while not try_lock(self._descriptor, byte):
            if time.monotonic() >= until:
                raise WriterBusyError("another process has been writing all the time")
            self._sleep(pause)
            pause = min(pause * 1.5, longest)

    def close(self) -> None:
        """Give back the descriptor, and the lock with it."""
        with contextlib.suppress(OSError):
            os.close(self._descriptor)
