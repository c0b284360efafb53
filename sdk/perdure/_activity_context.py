"""The activity attempt that is running here: filled in by the worker, read by `perdure.activity`.

Owned by the worker, one object an attempt; the code of the attempt only reads. `cancel` and `shut_down` may be
called from any thread. Nothing is durable: after a crash the next attempt gets a new one.

An attempt that asks nothing costs one small object: what it can wait for is made when it waits.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perdure.activity import ActivityCancellationDetails, Info
    from perdure.converter import PayloadConverter


class Occasion:
    """Something that happens at most once, which threads and event loops can wait for."""

    __slots__ = ("_happened", "_lock", "_waiters")

    def __init__(self) -> None:
        self._happened = False
        self._lock = threading.Lock()
        self._waiters: list[Callable[[], object]] = []

    def is_set(self) -> bool:
        """Whether it has happened."""
        return self._happened

    def set(self) -> None:
        """It happens. Idempotent; wakes all who wait, in the order in which they came."""
        with self._lock:
            self._happened = True
            waiters, self._waiters = self._waiters, []
        for wake in waiters:
            wake()

    async def wait(self) -> None:
        """Wait on the running event loop."""
        loop = asyncio.get_running_loop()
        done = loop.create_future()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits there any more
                loop.call_soon_threadsafe(_settle, done)

        if self._join(wake):
            try:
                await done
            finally:
                self._leave(wake)

    def wait_in_thread(self, timeout: float | None = None) -> bool:
        """Block this thread, for `timeout` seconds at most; returns whether it has happened."""
        event = threading.Event()
        if not self._join(event.set):
            return True
        try:
            return event.wait(timeout)
        finally:
            self._leave(event.set)

    def _join(self, wake: Callable[[], object]) -> bool:
        """False: it has happened already, so there is nothing to wait for."""
        with self._lock:
            if not self._happened:
                self._waiters.append(wake)
            return not self._happened

    def _leave(self, wake: Callable[[], object]) -> None:
        with self._lock:
            if wake in self._waiters:
                self._waiters.remove(wake)


def _settle(future: "asyncio.Future[None]") -> None:
    if not future.done():
        future.set_result(None)


class ActivityContext:
    """One attempt of an activity as its own code sees it.

    `make_info` is called at most once, and only when the code asks. `heartbeat` takes the details; it may be
    called from any thread and must not block. `shutdown` belongs to the worker and is shared by all attempts.
    """

    __slots__ = (
        "_cancelled",
        "_info",
        "_make_info",
        "cancellation_details",
        "client",
        "heartbeat",
        "payload_converter",
        "shield",
        "shutdown",
    )

    def __init__(
        self,
        make_info: "Callable[[], Info]",
        heartbeat: Callable[..., None],
        *,
        shutdown: Occasion,
        payload_converter: "PayloadConverter",
        client: Any = None,
        shield: Callable[[], Any] | None = None,
    ) -> None:
        self._make_info = make_info
        self._info: Info | None = None
        self._cancelled: Occasion | None = None
        self.heartbeat = heartbeat
        self.shutdown = shutdown
        self.payload_converter = payload_converter
        self.client = client
        """The worker's client, typed by `perdure.activity.client`; None when there is none."""
        self.shield = shield
        """Makes the context manager that delays a cancellation thrown into a thread; None: nothing is thrown."""
        self.cancellation_details: ActivityCancellationDetails | None = None

    @property
    def info(self) -> "Info":
        """What is known about the attempt."""
        if self._info is None:
            self._info = self._make_info()
        return self._info

    @property
    def cancelled(self) -> Occasion:
        """The request that the attempt ends."""
        if self._cancelled is None:
            with _making:
                if self._cancelled is None:
                    self._cancelled = Occasion()
        return self._cancelled

    def is_cancelled(self) -> bool:
        """Whether the attempt was asked to end."""
        return self.cancellation_details is not None

    def cancel(self, details: "ActivityCancellationDetails") -> None:
        """Ask the attempt to end. The first call counts; later ones change nothing."""
        with _making:
            if self.cancellation_details is not None:
                return
            self.cancellation_details = details
        self.cancelled.set()


_making = threading.Lock()
"""Guards the making of occasions and the first cancellation: both are rare, so one lock serves all attempts."""

current: ContextVar[ActivityContext | None] = ContextVar("perdure_activity", default=None)
"""Set by the worker around each attempt."""
