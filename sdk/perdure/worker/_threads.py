"""ThreadCall: a synchronous activity on a thread, which can be asked to stop by an exception thrown into it."""

import ctypes
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any

from perdure.exceptions import CancelledError


class ThreadCall:
    """One call of a function on whatever thread runs it.

    `interrupt` may come from any thread at any time: before the call it keeps the function from being called,
    after it it does nothing, and within `shield` it waits until the shield ends. An exception thrown into a
    thread arrives when the thread next runs Python code, so a call that blocks in C is not woken. With `throws`
    false nothing is thrown into a function that has begun.
    """

    def __init__(
        self, function: Callable[..., Any], arguments: Sequence[Any], *, throws: bool = True
    ) -> None:
        self._function = function
        self._arguments = arguments
        self._throws = throws
        self._lock = threading.Lock()
        self._thread: int | None = None
        self._shields = 0
        self._interrupted = False

    def __call__(self) -> Any:
        """Run the function on this thread and give back what it returns.

        Raises CancelledError when it was interrupted while it waited for a thread.
        """
        with self._lock:
            if self._interrupted:
                raise CancelledError("Cancelled")
            self._thread = threading.get_ident()
        try:
            return self._function(*self._arguments)
        except StopIteration as error:
            # A future cannot carry it, so whoever waits would never be told.
            raise RuntimeError("the function raised StopIteration") from error
        finally:
            with self._lock:
                self._thread = None
                if self._interrupted:
                    # Whatever was thrown and has not arrived must not hit the thread's next job.
                    throw(threading.get_ident(), None)

    def interrupt(self) -> None:
        """Throw CancelledError into the running function, once; or see to it that it does not begin."""
        with self._lock:
            if self._interrupted:
                return
            self._interrupted = True
            if self._throws and self._thread is not None and not self._shields:
                throw(self._thread, CancelledError)

    @contextmanager
    def shield(self) -> Generator[None, None, None]:
        """Hold interruptions back while the block runs; one that came meanwhile is raised at its end."""
        with self._lock:
            before = self._interrupted
            self._shields += 1
        try:
            yield
        finally:
            with self._lock:
                self._shields -= 1
                late = self._interrupted and not before and not self._shields
        if late:
            raise CancelledError("Cancelled")


def throw(thread: int, error: type[BaseException] | None) -> None:
    """Raise `error` in a thread when it next runs Python code; None takes back what has not arrived."""
    ctypes.pythonapi.PyThreadState_SetAsyncExc(
        ctypes.c_ulong(thread), None if error is None else ctypes.py_object(error)
    )
