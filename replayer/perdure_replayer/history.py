"""What replay reads, what a turn gives, and what of a run's history is still pending."""

from collections.abc import Callable
from dataclasses import dataclass, field

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
    WorkflowExecutionStarted,
)
from perdure_history.failures import Failure


@dataclass(frozen=True, slots=True)
class HistoryEvent:
    """A recorded event with its place: what replay reads."""

    seq: int
    turn: int | None
    recorded_at: int
    event: Event


@dataclass(frozen=True, slots=True)
class Turn:
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


@dataclass(slots=True)
class PendingActivity:
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
    """Of all messages."""

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

    def _take_outcome(self, seq: int, event: "Outcome") -> None:
        self.activities.pop(event.scheduled_seq, None)

    def _take_cancel_request(self, seq: int, event: ActivityTaskCancelRequested) -> None:
        pending = self.activities.get(event.scheduled_seq)
        if pending is not None:
            pending.cancel_requested = True

    def _take_attempt(self, seq: int, event: ActivityTaskAttemptFailed) -> None:
        pending = self.activities.get(event.scheduled_seq)
        if pending is None:
            return
        pending.attempt = event.attempt + 1
        pending.next_attempt_at = event.next_attempt_at
        pending.last_failure = event.failure
        if event.lost_worker:
            pending.lost_workers |= {event.lost_worker}

    def _take_timer(self, seq: int, event: TimerStarted) -> None:
        self.timers[seq] = event.fire_at

    def _take_timer_end(self, seq: int, event: TimerFired | TimerCanceled) -> None:
        self.timers.pop(event.timer_seq, None)

    def _take_message(self, seq: int, event: "MessageEvent") -> None:
        if event.request_id:
            self.request_ids.add(event.request_id)


Outcome = ActivityTaskCompleted | ActivityTaskFailed | ActivityTaskTimedOut | ActivityTaskCanceled
MessageEvent = WorkflowExecutionStarted | WorkflowExecutionSignaled | WorkflowExecutionCancelRequested

# One table instead of a match: this is asked for each event of each history.
_TAKE: dict[type, Callable[..., None]] = {
    ActivityTaskCompleted: Projection._take_outcome,
    ActivityTaskFailed: Projection._take_outcome,
    ActivityTaskTimedOut: Projection._take_outcome,
    ActivityTaskCanceled: Projection._take_outcome,
    ActivityTaskCancelRequested: Projection._take_cancel_request,
    ActivityTaskAttemptFailed: Projection._take_attempt,
    TimerStarted: Projection._take_timer,
    TimerFired: Projection._take_timer_end,
    TimerCanceled: Projection._take_timer_end,
    WorkflowExecutionStarted: Projection._take_message,
    WorkflowExecutionSignaled: Projection._take_message,
    WorkflowExecutionCancelRequested: Projection._take_message,
}
