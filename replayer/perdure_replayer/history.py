"""What replay reads, what a turn gives, and what of a run's history is still pending."""

from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from perdure_history.events import (
    ActivityTaskAttemptFailed,
    ActivityTaskCanceled,
    ActivityTaskCancelRequested,
    ActivityTaskCompleted,
    ActivityTaskFailed,
    ActivityTaskScheduled,
    ActivityTaskTimedOut,
    Event,
    TimerCanceled,
    TimerFired,
    TimerStarted,
    WorkflowExecutionCancelRequested,
    WorkflowExecutionSignaled,
)
from perdure_history.failures import Failure


class HistoryEvent(msgspec.Struct, frozen=True, gc=False):
    """A recorded event with its place: what replay reads."""

    seq: int
    turn: int | None
    recorded_at: int
    event: Event


class Turn(msgspec.Struct, frozen=True, gc=False):
    """What one pass of workflow code came to: inputs first, then the commands it issued, in order."""

    number: int
    time: int
    """Store time in microseconds; the recorded_at of all its rows."""
    first_seq: int
    """Of the first row that the turn adds."""
    inputs: tuple[Event, ...]
    """Those that the turn adds: not what stands in the history already."""
    outputs: tuple[Event, ...]
    closes_run: bool


class PendingActivity(msgspec.Struct):
    """An activity that has no outcome yet: projected from the log, notes included."""

    seq: int
    scheduled: ActivityTaskScheduled
    scheduled_at: int
    attempt: int = 1
    """The attempt that is to be made, or is being made."""
    next_attempt_at: int = 0
    """Store time before which it must not start; 0: at once."""
    last_failure: Failure | None = None
    cancel_requested: bool = False
    lost_workers: frozenset[str] = frozenset()
    """Incarnations whose loss is already noted for it."""
    callee: object | None = None
    """What the code passed as the activity (a function), when it passed more than a name. Only in memory."""


@dataclass(slots=True)
class Projection:
    """What is pending at a run's head. Each event is taken in once, in order."""

    activities: dict[int, PendingActivity] = field(default_factory=dict)
    """By scheduled seq."""
    timers: dict[int, int] = field(default_factory=dict)
    """fire_at by the seq of TimerStarted."""
    request_ids: set[str] = field(default_factory=set)
    """Of all signals and cancel requests. The start is no message: one request may start a run and signal it."""

    def take_scheduled(
        self, seq: int, event: ActivityTaskScheduled, *, at: int, callee: object | None
    ) -> None:
        """An activity is pending from now on."""
        self.activities[seq] = PendingActivity(seq, event, at, callee=callee)

    def take(self, seq: int, event: Event) -> None:
        """Take in any other event, a note too."""
        take = _TAKE.get(type(event))
        if take is not None:
            take(self, seq, event)


Outcome = ActivityTaskCompleted | ActivityTaskFailed | ActivityTaskTimedOut | ActivityTaskCanceled
MessageEvent = WorkflowExecutionSignaled | WorkflowExecutionCancelRequested


def _take_outcome(pending: Projection, seq: int, event: Outcome) -> None:
    pending.activities.pop(event.scheduled_seq, None)


def _take_cancel_request(pending: Projection, seq: int, event: ActivityTaskCancelRequested) -> None:
    one = pending.activities.get(event.scheduled_seq)
    if one is not None:
        one.cancel_requested = True


def _take_attempt(pending: Projection, seq: int, event: ActivityTaskAttemptFailed) -> None:
    one = pending.activities.get(event.scheduled_seq)
    if one is None:
        return
    one.attempt = event.attempt + 1
    one.next_attempt_at = event.next_attempt_at
    one.last_failure = event.failure
    if event.lost_worker:
        one.lost_workers |= {event.lost_worker}


def _take_timer(pending: Projection, seq: int, event: TimerStarted) -> None:
    pending.timers[seq] = event.fire_at


def _take_timer_end(pending: Projection, seq: int, event: TimerFired | TimerCanceled) -> None:
    pending.timers.pop(event.timer_seq, None)


def _take_message(pending: Projection, seq: int, event: MessageEvent) -> None:
    if event.request_id:
        pending.request_ids.add(event.request_id)


# One table instead of a match: this is asked for each event of each history.
_TAKE: dict[type, Callable[..., None]] = {
    ActivityTaskCompleted: _take_outcome,
    ActivityTaskFailed: _take_outcome,
    ActivityTaskTimedOut: _take_outcome,
    ActivityTaskCanceled: _take_outcome,
    ActivityTaskCancelRequested: _take_cancel_request,
    ActivityTaskAttemptFailed: _take_attempt,
    TimerStarted: _take_timer,
    TimerFired: _take_timer_end,
    TimerCanceled: _take_timer_end,
    WorkflowExecutionSignaled: _take_message,
    WorkflowExecutionCancelRequested: _take_message,
}
