"""Attempt: one pending activity of a run held here, through all its attempts."""

import asyncio
import enum

import msgspec

from perdure._activity_context import ActivityContext
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
    started_at: int = 0
    next_at: int = 0
    """Earliest start of the next attempt, by store time."""
    last_failure: Failure | None = None
    cancel_requested: bool = False
    heartbeat_details: tuple[Payload, ...] = ()
    """Of the latest heartbeat of any attempt in this process."""
    task: asyncio.Task[None] | None = None
    context: ActivityContext | None = None
    clocks: dict[TimeoutType, asyncio.TimerHandle] | None = None
    """Of the running attempt."""

    @property
    def deadline(self) -> int | None:
        """End of schedule-to-close, by store time."""
        timeout = self.scheduled.schedule_to_close_timeout_us
        return None if timeout is None else self.scheduled_at + timeout

    @property
    def is_open(self) -> bool:
        """An outcome is still wanted from it."""
        return self.state is not AttemptState.OVER
