"""A disk whose power can be cut: a file system in an image, and copies of that image as it stood at one moment.

What a program wrote and did not fsync is in the page cache of the mounted file system and not yet in the image,
so it is missing in the copy, as it would be after a real power loss.
"""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SIZE = "96M"


def why_not() -> str | None:
    """Why this machine cannot do it; None when it can."""
    if os.geteuid() != 0:
        return "power cuts need root, for loop mounts"
    for program in ("mkfs.ext4", "mount", "umount"):
        if shutil.which(program) is None:
            return f"power cuts need {program}"
    if not Path("/dev/loop-control").exists():
        return "power cuts need loop devices"
    return None


class Disk:
    """An ext4 file system in an image file, mounted."""

    def __init__(self, folder: Path) -> None:
        self.image = folder / "disk.img"
        self.mounted = folder / "disk"
        self._folder = folder
        self._copies = 0

    @contextmanager
    def after_a_cut(self) -> Iterator[Path]:
        """The file system as it comes up again after losing power now, mounted read-write."""
        self._copies += 1
        copy = self._folder / f"copy-{self._copies}.img"
        _run("cp", "--sparse=always", str(self.image), str(copy))
        with _mounted(copy, self._folder / f"copy-{self._copies}") as path:
            yield path
        copy.unlink()


@contextmanager
def disk(folder: Path) -> Iterator[Disk]:
    """A fresh, empty disk."""
    made = Disk(folder)
    _run("truncate", "-s", SIZE, str(made.image))
    _run("mkfs.ext4", "-q", "-F", str(made.image))
    with _mounted(made.image, made.mounted):
        yield made


def can_mount(folder: Path) -> str | None:
    """Why a loop mount fails here, by trying (containers often forbid it); None when it works."""
    reason = why_not()
    if reason is not None:
        return reason
    try:
        with disk(folder):
            return None
    except subprocess.CalledProcessError as error:
        return f"power cuts need loop mounts, which this machine refuses: {error.stderr.decode().strip()}"


@contextmanager
def _mounted(image: Path, where: Path) -> Iterator[Path]:
    where.mkdir(exist_ok=True)
    _run("mount", "-o", "loop", str(image), str(where))
    try:
        yield where
    finally:
        _run("umount", "-l", str(where))


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, timeout=60)
