"""TurnWatchdog: throws an error into workflow code that computes too long without waiting.

Workflow code runs on the worker's event loop, so an endless loop in one run would hold up all of them, the
heartbeat too, and then freeze the next worker that takes the run over. The watchdog looks from a thread of its
own; the error arrives between two bytecodes, so code that blocks in C is not reached.
"""

import threading
import time
from collections.abc import Callable

from perdure.worker._threads import throw
from perdure_replayer.errors import TurnTimeoutError


class TurnWatchdog:
    """Watches the turns of one worker. `begin` and `end` are called on its event loop's thread."""

    def __init__(self, timeout_seconds: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._timeout = timeout_seconds
        self._clock = clock
        self._lock = threading.Lock()
        self._since: float | None = None
        self._thrown = False
        self._target = threading.get_ident()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to watch; nothing without a timeout."""
        if self._timeout is not None:
            self._thread = threading.Thread(
                target=self._watch, args=(self._timeout,), name="perdure-watchdog", daemon=True
            )
            self._thread.start()

    def stop(self) -> None:
        """Watch no longer."""
        self._stopped.set()

    def begin(self) -> None:
        """Workflow code begins to compute."""
        self._since = self._clock()

    def end(self) -> None:
        """It waits, or has ended."""
        with self._lock:
            self._since = None
            if self._thrown:
                # What was thrown and has not arrived must not hit the event loop.
                self._thrown = False
                throw(self._target, None)

    def _watch(self, timeout: float) -> None:
        while not self._stopped.wait(timeout / 4):
            with self._lock:
                if self._since is not None and self._clock() - self._since > timeout:
                    # Again and again, should the code catch it.
                    self._since = self._clock()
                    self._thrown = True
                    throw(self._target, TurnTimeoutError)
