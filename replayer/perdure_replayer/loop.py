"""The event loop of workflow code: FIFO, with the turn's time and durable timers, and nothing of the world.

One loop belongs to one run and lives as long as the live run does. It runs only inside a turn, on the thread
of whoever computes the turn, and stops as soon as nothing is ready. Between turns it takes nothing in: what a
finalizer schedules then is dropped, because on replay it would come at another moment or never.

    IDLE ──turn──> RUNNING ──blocked──> IDLE          IDLE ──query──> READ_ONLY ──> IDLE
                      └────────── evict, from any phase ──────────> EVICTING
"""

import asyncio
import contextvars
import enum
import sys
from collections import deque
from collections.abc import Callable, Coroutine
from inspect import CORO_CLOSED, getcoroutinestate
from typing import Any, Protocol, TypeVar

from perdure_replayer.errors import BrokenRunError, Evicted, ReadOnlyContextError, TurnTooLongError
from perdure_replayer.futures import RunFuture, RunTask
from perdure_replayer.refusals import WorldRefusal

T = TypeVar("T")

MAX_CALLBACKS_PER_TURN = 1_000_000
"""More steps than this without waiting for an event is an endless loop."""


class Phase(enum.Enum):
    """What the loop is doing, and so what code may ask of it."""

    IDLE = "idle"
    RUNNING = "running"
    READ_ONLY = "read_only"
    EVICTING = "evicting"


# Looking a member up in its enum costs more than the rest of a check, and checks are made for each callback.
IDLE, RUNNING, READ_ONLY, EVICTING = Phase.IDLE, Phase.RUNNING, Phase.READ_ONLY, Phase.EVICTING


class LoopOwner(Protocol):
    """The run, as its loop needs it."""

    run_id: str

    def start_loop_timer(
        self,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: contextvars.Context,
        *,
        delay_us: int,
    ) -> asyncio.TimerHandle:
        """Issue the command; the callback runs in the turn in which the timer fires."""
        ...

    def report_loop_error(self, context: dict[str, Any]) -> None:
        """Log what asyncio reports, unless the run is replaying."""
        ...


class LoopHandle(asyncio.Handle):
    """A callback that is ready. Without the base's bookkeeping for debugging."""

    __slots__ = ()

    def __init__(
        self, callback: Callable[..., object], args: tuple[Any, ...], context: contextvars.Context
    ) -> None:
        self._callback = callback
        self._args = args
        self._context = context
        self._cancelled = False

    def cancel(self) -> None:
        """Do not call it."""
        self._cancelled = True

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self._callback!r}>"


class DueHandle(LoopHandle, asyncio.TimerHandle):
    """A timer that was due when it was asked for: a ready callback that knows its time."""

    __slots__ = ()

    def __init__(
        self,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: contextvars.Context,
        *,
        when: float,
    ) -> None:
        super().__init__(callback, args, context)
        self._when = when


class WorkflowLoop(WorldRefusal):
    """The run's loop. Between turns it may be asked nothing but the time."""

    def __init__(self, owner: LoopOwner) -> None:
        self.perdure_runtime: object | None = None
        """Leads from the running loop to the run: what `runtime.find` gives."""
        self._owner: LoopOwner | None = owner
        self.ready: deque[asyncio.Handle] = deque()
        self.phase = IDLE
        self.turn_time = 0
        self.stopped = False
        """Set to end the turn at once: it has failed."""
        self.number = 0
        """Last creation number: a hash for what asyncio keeps in sets."""
        self._named = 0
        self._tasks: list[RunTask[Any]] = []
        self._prune_at = 64

    # What asyncio asks of a loop

    def time(self) -> float:
        """The turn's time in seconds."""
        return self.turn_time / 1_000_000

    def call_soon(  # type: ignore[override]  # the stub's TypeVarTuple says no more than this
        self, callback: Callable[..., object], *args: Any, context: contextvars.Context | None = None
    ) -> asyncio.Handle:
        """Call it in this turn, after all that is ready before it."""
        handle = LoopHandle(callback, args, contextvars.copy_context() if context is None else context)
        if self.phase is RUNNING:
            self.ready.append(handle)
        elif self.phase is READ_ONLY:
            raise ReadOnlyContextError("schedule a callback")
        return handle

    def call_later(  # type: ignore[override]  # as call_soon
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call it when a durable timer of `delay` seconds has fired; at once when that is below a microsecond."""
        return self._call_at_us(self.turn_time + to_microseconds(delay), callback, args, context)

    def call_at(  # type: ignore[override]  # as call_soon
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: contextvars.Context | None = None,
    ) -> asyncio.TimerHandle:
        """Call it at `when`, on the scale of `time`."""
        return self._call_at_us(to_microseconds(when), callback, args, context)

    def _call_at_us(
        self,
        when_us: int,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: contextvars.Context | None,
    ) -> asyncio.TimerHandle:
        self.refuse_unless_running("start a timer")
        if context is None:
            context = contextvars.copy_context()
        delay_us = when_us - self.turn_time
        if delay_us > 0 and self._owner is not None:
            return self._owner.start_loop_timer(callback, args, context, delay_us=delay_us)
        handle = DueHandle(callback, args, context, when=when_us / 1_000_000)
        self.ready.append(handle)
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        """A future that hashes by its creation number."""
        self.number += 1
        return RunFuture(self.number, self)

    def create_task(  # type: ignore[override]  # as call_soon
        self,
        coro: Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: contextvars.Context | None = None,
        eager_start: bool | None = None,
    ) -> asyncio.Task[T]:
        """A task of this run; it starts in this turn, after all that is ready before it."""
        if self.phase is not RUNNING:
            coro.close()
            self.refuse_unless_running("create a task")
        self._named += 1
        self.number += 1
        task = RunTask(self.number, coro, loop=self, name=name or f"Task-{self._named}", context=context)
        # asyncio refers to tasks weakly, and a collected one would run its finally blocks at random.
        tasks = self._tasks
        tasks.append(task)
        if len(tasks) >= self._prune_at:
            tasks[:] = [one for one in tasks if not one.done()]
            self._prune_at = max(64, 2 * len(tasks))
        return task

    def get_debug(self) -> bool:
        """False: asyncio's debug mode reads the wall clock."""
        return False

    def is_running(self) -> bool:
        """Whether a turn is being computed."""
        return self.phase is RUNNING

    def is_closed(self) -> bool:
        """Whether the run was dropped from memory."""
        return self.phase is EVICTING

    def get_task_factory(self) -> None:
        """None: tasks are made by the loop itself."""

    def get_exception_handler(self) -> None:
        """None: exceptions that nobody can catch are logged."""

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        """Log it, unless replaying."""
        self.call_exception_handler(context)

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Log what asyncio reports, unless the run is replaying or gone."""
        if self._owner is not None and self.phase is not EVICTING:
            self._owner.report_loop_error(context)

    # What the run asks of its loop

    def refuse_unless_running(self, action: str) -> None:
        """Raise unless a turn is being computed."""
        if self.phase is RUNNING:
            return
        if self.phase is READ_ONLY:
            raise ReadOnlyContextError(action)
        if self.phase is EVICTING or self._owner is None:
            raise Evicted
        raise BrokenRunError(self._owner.run_id, f"{action} in", "none of its turns is being computed now")

    def run_until_blocked(self, release: Callable[[], bool]) -> None:
        """Run callbacks until none is ready and `release` (called each time) makes none ready either.

        Raises TurnTooLongError.
        """
        ready = self.ready
        budget = MAX_CALLBACKS_PER_TURN
        while True:
            while ready:
                handle = ready.popleft()
                if handle._cancelled:  # noqa: SLF001  # our own handles; the base names the slots
                    continue
                try:
                    handle._context.run(handle._callback, *handle._args)  # type: ignore[attr-defined]  # noqa: SLF001
                except Exception as error:  # noqa: BLE001  # a callback, not a task: asyncio reports and goes on
                    self.call_exception_handler(
                        {"message": f"exception in {handle!r}", "exception": error, "handle": handle}
                    )
                budget -= 1
                if self.stopped:
                    return
                if budget <= 0:
                    raise TurnTooLongError(self._owner.run_id if self._owner else "", MAX_CALLBACKS_PER_TURN)
            if not release():
                return

    def pending_tasks(self) -> list[RunTask[Any]]:
        """Tasks that are not done, oldest first."""
        return [task for task in self._tasks if not task.done()]

    def enter(self, phase: Phase) -> "Outside":
        """Become the running loop of the thread, in `phase`; give what `leave` must bring back."""
        host = asyncio._get_running_loop()  # noqa: SLF001  # the only way to step aside for another loop
        outside = (self.phase, host, _suspend_host_task(host), sys.get_asyncgen_hooks())
        self.phase = phase
        sys.set_asyncgen_hooks(None, _drop)
        asyncio._set_running_loop(self)  # noqa: SLF001
        return outside

    def leave(self, outside: "Outside") -> None:
        """Bring back the loop that was running before, and the phase."""
        phase, host, host_task, hooks = outside
        asyncio._set_running_loop(host)  # noqa: SLF001
        _resume_host_task(host, host_task)
        sys.set_asyncgen_hooks(*hooks)
        self.phase = phase

    def evict(self) -> None:
        """Close all coroutines; their finally blocks run, and whatever they ask for raises Evicted. For good."""
        outside = self.enter(EVICTING)
        try:
            pending = self.pending_tasks()
            for task in pending:
                _close(task.get_coro())
            for task in pending:
                waits_for: asyncio.Future[Any] | None = getattr(task, "_fut_waiter")  # noqa: B009  # not in the stubs
                if waits_for is not None:
                    # Takes the task out of the future's callbacks: else the two keep each other in memory.
                    waits_for.cancel()
        finally:
            self.leave(outside)
            self.phase = EVICTING
            self.ready.clear()
            self._tasks.clear()
            self.perdure_runtime = None
            self._owner = None


Outside = tuple[Phase, asyncio.AbstractEventLoop | None, Any, Any]
"""What was running before a turn."""

_MOST_CLOSINGS = 10
"""A coroutine that awaits in a finally block must be closed again; one that never ends is left."""


def _close(coro: Any) -> None:
    for _ in range(_MOST_CLOSINGS):
        try:
            coro.close()
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException:  # noqa: BLE001, S110  # the run is being dropped: nobody is left to tell
            pass
        if getcoroutinestate(coro) == CORO_CLOSED:
            return


def to_microseconds(seconds: float) -> int:
    """Nearest microsecond; raises ValueError for what is not a moment that every store can hold."""
    if not abs(seconds) < _LATEST_SECOND:
        raise ValueError(
            f"a timer cannot wait for {seconds!r} seconds; give a finite number of years below 10,000"
        )
    return round(seconds * 1_000_000)


_LATEST_SECOND = 10_000 * 365 * 24 * 3600


def _drop(generator: object) -> None:
    """Leave an abandoned async generator as it is: when it is collected is chance."""


if sys.version_info >= (3, 14):  # one current task a thread; before, one a loop

    def _suspend_host_task(host: asyncio.AbstractEventLoop | None) -> Any:
        return None if host is None else asyncio.tasks._swap_current_task(host, None)  # noqa: SLF001

    def _resume_host_task(host: asyncio.AbstractEventLoop | None, task: Any) -> None:
        if host is not None and task is not None:
            asyncio.tasks._swap_current_task(host, task)  # noqa: SLF001

else:

    def _suspend_host_task(host: asyncio.AbstractEventLoop | None) -> Any:
        return None

    def _resume_host_task(host: asyncio.AbstractEventLoop | None, task: Any) -> None:
        pass
