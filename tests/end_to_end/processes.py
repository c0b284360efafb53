"""Child processes of the crash tests: started in milliseconds, killed at will, and never left behind.

They are forked from a server process that has imported everything and opened nothing, so that 300 kills cost
seconds. Each child asks the kernel to be killed when that server ends, which ends with the test process.
"""

import ctypes
import multiprocessing
import multiprocessing.forkserver
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from multiprocessing.process import BaseProcess
from typing import Any

from tests.end_to_end.tables import python_path

_PR_SET_PDEATHSIG = 1
LONG = 60.0
"""Seconds after which something that should happen is taken not to happen, on a machine under load."""


class Child:
    """A running process and a pipe to it."""

    def __init__(self, process: BaseProcess, pipe: Connection) -> None:
        self.process = process
        self.pipe = pipe

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    @property
    def alive(self) -> bool:
        return self.process.is_alive()

    def hear(self, timeout: float = LONG) -> Any:
        """The next thing that the child says; EOFError when it ended without saying more."""
        if not self.pipe.poll(timeout):
            raise TimeoutError(f"process {self.pid} said nothing for {timeout} s")
        return self.pipe.recv()

    def tell(self, word: object) -> None:
        self.pipe.send(word)

    def kill(self) -> None:
        """SIGKILL, and wait until the process is gone."""
        if self.process.is_alive():
            os.kill(self.pid, signal.SIGKILL)
        self.join()

    def join(self, timeout: float = LONG) -> int:
        """Wait for the end; the exit code (negative: the signal)."""
        self.process.join(timeout)
        assert self.process.exitcode is not None, f"process {self.pid} did not end within {timeout} s"
        return self.process.exitcode


class Nursery:
    """Makes children, and kills those that are left at the end."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._children: list[Child] = []

    def start(self, target: Callable[..., None], *args: object) -> Child:
        """Run `target(pipe, *args)` in a process of its own."""
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_run, args=(target, theirs, *args), daemon=True)
        process.start()
        theirs.close()
        child = Child(process, ours)
        self._children.append(child)
        return child

    def close(self) -> None:
        for child in self._children:
            if child.alive:
                os.kill(child.pid, signal.SIGCONT)
            child.kill()
            child.process.close()
            child.pipe.close()


def _run(target: Callable[..., None], pipe: Connection, *args: object) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    target(pipe, *args)


@contextmanager
def nursery() -> Iterator[Nursery]:
    """A nursery whose children are gone when the block ends."""
    former = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = python_path()
    multiprocessing.forkserver.set_forkserver_preload(["tests.end_to_end.programs"])
    multiprocessing.forkserver.ensure_running()
    if former is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = former
    made = Nursery()
    try:
        yield made
    finally:
        made.close()


def first_to_end(children: list[Child], timeout: float = LONG) -> list[Child]:
    """Those of `children` that have ended, as soon as there is one."""
    ended = wait_for([child.process.sentinel for child in children], timeout)
    return [child for child in children if child.process.sentinel in ended]


def seconds_since(start_ns: int) -> float:
    """Seconds on the clock that all processes of a machine share."""
    return (time.monotonic_ns() - start_ns) / 1e9
