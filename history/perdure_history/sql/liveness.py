"""Proof that a worker on this machine is dead, without waiting for its lease.

A worker's process locks a file of its own before the worker's row is inserted, and keeps it locked. The kernel
frees the lock when the process dies, however it dies; a lock that another process then obtains, on the very
file that the row names, proves the death. `lockf` and not `flock`: the latter is inherited by forked children
and would outlive its worker.

What proves nothing: a file of this process (POSIX locks never refuse their own process), a missing file,
another file at the same place, a network or overlay file system. Then the lease alone decides.
No statement is run here.
"""

import contextlib
import hashlib
import os
import re
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path

from perdure_history.records import HeldLock, WorkerRecord
from perdure_history.sql.sidecar import LOCKS_WORK, sidecar_of, try_lock

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_MOUNTS = Path("/proc/self/mountinfo")
_SAFE_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")
_SHARED_FILE_SYSTEMS = (
    "nfs",
    "cifs",
    "smb",
    "9p",
    "fuse",
    "virtiofs",
    "overlay",
    "ceph",
    "gluster",
    "lustre",
    "afs",
)


class WorkerLocks:
    """The lock files of the workers of this process on one database."""

    def __init__(self, path: str) -> None:
        self._directory = sidecar_of(path)
        self._believable = LOCKS_WORK and not is_shared(file_system_of(Path(path).parent))
        self._guard = threading.Lock()
        self._held: dict[str, tuple[int, HeldLock]] = {}

    def hold(self, incarnation: str) -> HeldLock:
        """Lock the worker's file until `release`; again for the same worker: the same answer.

        Gives the empty lock where locks prove nothing.
        """
        with self._guard:
            known = self._held.get(incarnation)
            if known is not None:
                return known[1]
            if not self._believable:
                return HeldLock()
            path = self._directory / _file_name(incarnation)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if not try_lock(descriptor):
                os.close(descriptor)
                return HeldLock()
            held = HeldLock(path=str(path), inode=os.fstat(descriptor).st_ino, boot_id=boot_id())
            self._held[incarnation] = descriptor, held
            return held

    def release(self, incarnation: str) -> None:
        """Give the worker's lock up and remove its file; nothing happens when it holds none."""
        with self._guard:
            known = self._held.pop(incarnation, None)
        if known is not None:
            with contextlib.suppress(OSError):
                Path(known[1].path).unlink()
            os.close(known[0])

    def release_all(self) -> None:
        """Give all locks up."""
        for incarnation in list(self._held):
            self.release(incarnation)

    def forget(self, incarnation: str) -> None:
        """Remove the file of a worker that was buried, unless it is one of this process."""
        with self._guard:
            if incarnation not in self._held:
                with contextlib.suppress(OSError):
                    (self._directory / _file_name(incarnation)).unlink()

    def proven_dead(self, workers: Sequence[WorkerRecord]) -> list[str]:
        """Incarnations of those whose process is certainly dead."""
        return [worker.incarnation for worker in workers if self._is_proven_dead(worker)]

    def _is_proven_dead(self, worker: WorkerRecord) -> bool:
        if not self._believable or not worker.lock_file:
            return False
        here = boot_id()
        if here and worker.boot_id and here != worker.boot_id:
            # The machine has been started anew since: the file is local, so its worker ran on this machine.
            return True
        with self._guard:
            held = {lock.inode for _, lock in self._held.values()}
        if worker.incarnation in self._held or worker.lock_inode in held:
            return False
        return _lock_is_free(self._place_of(worker), worker.lock_inode)

    def _place_of(self, worker: WorkerRecord) -> Path:
        # The directory may be mounted elsewhere for the worker that wrote the row.
        return self._directory / Path(worker.lock_file).name


def _lock_is_free(path: Path, inode: int) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return False
    try:
        return os.fstat(descriptor).st_ino == inode and try_lock(descriptor)
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _file_name(incarnation: str) -> str:
    if _SAFE_NAME.fullmatch(incarnation):
        return f"{incarnation}.lock"
    return f"{hashlib.sha256(incarnation.encode()).hexdigest()}.lock"


@cache
def boot_id() -> str:
    """Names the machine's current boot; empty where the system does not say."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def file_system_of(directory: Path) -> str:
    """Type of the file system that holds `directory`; empty where the system does not say."""
    place = str(directory.resolve())
    best, kind = "", ""
    try:
        with _MOUNTS.open(encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                before, _, after = line.partition(" - ")
                point = before.split()[4].encode().decode("unicode_escape")
                inside = place == point or place.startswith(point.rstrip("/") + "/")
                if inside and len(point) >= len(best):
                    best, kind = point, after.split()[0]
    except (OSError, IndexError, UnicodeDecodeError):
        return ""
    return kind


def is_shared(file_system: str) -> bool:
    """Whether locks and inodes on it may mean less than on a local disk."""
    return file_system.startswith(_SHARED_FILE_SYSTEMS)
