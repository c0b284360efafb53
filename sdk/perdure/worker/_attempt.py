"""Attempt: one pending activity of a run held here, through all its attempts; Trial: one of them, being made."""

import asyncio
import enum

import msgspec

from perdure._activity_context import ActivityContext
from perdure.worker._due import DueEntry
from perdure.worker._threads import ThreadCall
from perdure_history.events import ActivityTaskScheduled
from perdure_history.failures import Failure, TimeoutType
from perdure_history.payloads import Payload


class AttemptState(enum.Enum):
    """Where an attempt stands.

    RESTING --due--> WAITING --slot--> RUNNING --> over (outcome)
       ^                                  |
       |_____ recorded ____ NOTING <------+ (failed, to be retried)
    """

    RESTING = "resting"
    """Until its next attempt is due."""
    WAITING = "waiting"
    """For a slot."""
    RUNNING = "running"
    NOTING = "noting"
    """Its failure is on its way into the log."""
    OVER = "over"
    """Its outcome is found, or nobody wants it any more."""


class Trial(msgspec.Struct, eq=False):
    """One making of an attempt. Told from others by identity.

    A trial that was given up may run on for long, beside its successor: all that it touches is here.
    """

    number: int
    started_at: int
    due_at: int
    """When it was to begin at the earliest, by store time."""
    earlier_details: tuple[Payload, ...]
    """Of the latest heartbeat before it began."""
    task: asyncio.Task[Payload | Failure | None] | None = None
    context: ActivityContext | None = None
    call: ThreadCall | None = None
    """While it is on a thread, or waits for one."""
    clocks: dict[TimeoutType, asyncio.TimerHandle] | None = None
    interrupted: bool = False
    """The worker asked it to stop; a cancellation that comes without this is not the worker's."""

    def stop_clocks(self) -> None:
        """From now on no time-out is reported for it. Idempotent."""
        clocks, self.clocks = self.clocks, None
        for clock in (clocks or {}).values():
            clock.cancel()


class Attempt(msgspec.Struct, eq=False):
    """What the worker knows of one activity; changed only on the worker's event loop."""

    run_id: str
    seq: int
    scheduled: ActivityTaskScheduled
    scheduled_at: int
    number: int
    """Of the attempt that is being made or to be made; from 1."""
    callee: object | None
    state: AttemptState = AttemptState.RESTING
    next_at: int = 0
    """Earliest start of the next attempt, by store time."""
    last_failure: Failure | None = None
    cancel_requested: bool = False
    heartbeat_details: tuple[Payload, ...] = ()
    """Of the latest heartbeat of any attempt in this process."""
    trial: Trial | None = None
    """The one that is being made, whose outcome counts: set exactly while RUNNING."""
    schedule_clocks: tuple[DueEntry, ...] = ()
    rest: DueEntry | None = None
    """Ends the rest before the next attempt."""

    @property
    def started_at(self) -> int:
        """When the running trial began, by store time; 0 when none is running."""
        return 0 if self.trial is None else self.trial.started_at

    @property
    def deadline(self) -> int | None:
        """End of schedule-to-close, by store time."""
        timeout = self.scheduled.schedule_to_close_timeout_us
        return None if timeout is None else self.scheduled_at + timeout

    @property
    def is_open(self) -> bool:
        """An outcome is still wanted from it."""
        return self.state is not AttemptState.OVER
