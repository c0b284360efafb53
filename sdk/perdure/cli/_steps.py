"""What a run did and what it waits for, told from its history: a pure function from rows to steps.

The tree of `perdure show`, its JSON form and its live view all read the same `Timeline`.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from perdure_history.codec import decode_event
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
    WorkflowExecutionCanceled,
    WorkflowExecutionCancelRequested,
    WorkflowExecutionCompleted,
    WorkflowExecutionFailed,
    WorkflowExecutionSignaled,
    WorkflowExecutionStarted,
    WorkflowExecutionTerminated,
    WorkflowTaskFailed,
    WorkflowTaskStarted,
)
from perdure_history.failures import Failure
from perdure_history.payloads import Payload
from perdure_history.records import EventRow


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of an activity that did not succeed, and was followed by another."""

    number: int
    failure: str
    ended_at: int
    next_at: int
    lost_worker: str = ""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened to the run, or that it still waits for. Times in microseconds UTC."""

    seq: int
    kind: str
    """activity, timer, signal, cancel request or turn failure."""
    name: str
    status: str
    """waiting, retrying, completed, failed, timed out, canceled, fired, received, undelivered."""
    began_at: int
    ended_at: int | None = None
    attempts: int = 0
    """Attempts that were made or are being made; 0 for what is not an activity."""
    failed_attempts: tuple[Attempt, ...] = ()
    due_at: int | None = None
    """When a timer fires, or the next attempt may start."""
    input: tuple[Any, ...] = ()
    result: Any = None
    failure: str = ""
    actor: str = ""
    cancel_requested: bool = False

    @property
    def is_open(self) -> bool:
        """Whether the run may still be waiting for it."""
        return self.ended_at is None

    @property
    def duration_us(self) -> int | None:
        """From being asked for to its outcome; None while there is no outcome."""
        return None if self.ended_at is None else self.ended_at - self.began_at


@dataclass(slots=True)
class Timeline:
    """A run's steps in the order in which they began, and how it ended."""

    steps: dict[int, Step] = field(default_factory=dict[int, Step])
    """By the seq of the event that began them."""
    head_seq: int = 0
    started_at: int = 0
    input: tuple[Any, ...] = ()
    actor: str = ""
    closed_at: int | None = None
    result: Any = None
    failure: str = ""

    def add(self, rows: Iterable[EventRow], *, run_id: str) -> None:
        """Take in later rows of the same run."""
        for row in rows:
            self.head_seq = row.seq
            self._take(row, decode_event(row.type, row.attributes, run_id=run_id, seq=row.seq))

    def waits_for(self) -> list[Step]:
        """Activities and timers without an outcome; empty once the run is closed."""
        if self.closed_at is not None:
            return []
        return [step for step in self.steps.values() if step.is_open]

    def _take(self, row: EventRow, event: Event) -> None:
        match event:
            case WorkflowExecutionStarted():
                self.started_at, self.actor = row.recorded_at, row.actor
                self.input = tuple(shown_value(payload) for payload in event.input)
            case ActivityTaskScheduled() | TimerStarted():
                self.steps[row.seq] = _begun(row, event)
            case ActivityTaskAttemptFailed():
                self._retry(row, event)
            case ActivityTaskCancelRequested():
                self._change(event.scheduled_seq, cancel_requested=True)
            case (
                ActivityTaskCompleted()
                | ActivityTaskFailed()
                | ActivityTaskTimedOut()
                | ActivityTaskCanceled()
            ):
                self._end_activity(row, event)
            case TimerFired():
                self._change(event.timer_seq, status="fired", ended_at=row.recorded_at)
            case TimerCanceled():
                self._change(event.timer_seq, status="canceled", ended_at=row.recorded_at)
            case WorkflowExecutionSignaled() | WorkflowExecutionCancelRequested() | WorkflowTaskFailed():
                self.steps[row.seq] = _instant(row, event)
            case WorkflowExecutionCompleted():
                self.closed_at, self.result = row.recorded_at, shown_value(event.result)
            case WorkflowExecutionFailed():
                self.closed_at, self.failure = row.recorded_at, failure_text(event.failure)
            case WorkflowExecutionCanceled():
                self.closed_at, self.failure = row.recorded_at, "canceled"
            case WorkflowExecutionTerminated():
                self.closed_at = row.recorded_at
                self.failure = f"terminated: {event.reason}" if event.reason else "terminated"
            case WorkflowTaskStarted():
                pass  # it only carries the time of a first turn

    def _change(self, seq: int, **changes: Any) -> None:
        step = self.steps.get(seq)
        if step is not None:
            self.steps[seq] = replace(step, **changes)

    def _retry(self, row: EventRow, event: ActivityTaskAttemptFailed) -> None:
        step = self.steps.get(event.scheduled_seq)
        if step is None:
            return
        tried = Attempt(
            event.attempt,
            failure_text(event.failure),
            row.recorded_at,
            event.next_attempt_at,
            event.lost_worker,
        )
        self.steps[event.scheduled_seq] = replace(
            step,
            status="retrying",
            attempts=event.attempt + 1,
            failed_attempts=(*step.failed_attempts, tried),
            due_at=event.next_attempt_at,
        )

    def _end_activity(
        self,
        row: EventRow,
        event: ActivityTaskCompleted | ActivityTaskFailed | ActivityTaskTimedOut | ActivityTaskCanceled,
    ) -> None:
        changes: dict[str, Any] = {"ended_at": row.recorded_at, "attempts": event.attempt, "due_at": None}
        match event:
            case ActivityTaskCompleted():
                changes |= {"status": "completed", "result": shown_value(event.result)}
            case ActivityTaskFailed():
                changes |= {"status": "failed", "failure": failure_text(event.failure)}
            case ActivityTaskTimedOut():
                changes |= {"status": "timed out", "failure": failure_text(event.failure)}
            case ActivityTaskCanceled():
                changes |= {"status": "canceled"}
        self._change(event.scheduled_seq, **changes)


def _begun(row: EventRow, event: ActivityTaskScheduled | TimerStarted) -> Step:
    """The step of a command that has no outcome yet."""
    if isinstance(event, TimerStarted):
        return Step(
            row.seq,
            "timer",
            event.summary or "sleep",
            "waiting",
            row.recorded_at,
            due_at=event.fire_at,
            actor=row.actor,
        )
    shown = tuple(shown_value(payload) for payload in event.input)
    return Step(
        row.seq,
        "activity",
        event.activity_type,
        "waiting",
        row.recorded_at,
        attempts=1,
        input=shown,
        actor=row.actor,
    )


def _instant(
    row: EventRow, event: WorkflowExecutionSignaled | WorkflowExecutionCancelRequested | WorkflowTaskFailed
) -> Step:
    """The step of something that takes no time."""
    at = row.recorded_at
    match event:
        case WorkflowExecutionSignaled():
            status = "received" if event.delivered else "undelivered"
            shown = tuple(shown_value(payload) for payload in event.input)
            return Step(row.seq, "signal", event.signal_name, status, at, at, input=shown, actor=row.actor)
        case WorkflowExecutionCancelRequested():
            status = "received" if event.delivered else "undelivered"
            return Step(row.seq, "cancel request", event.reason, status, at, at, actor=row.actor)
        case WorkflowTaskFailed():
            text = failure_text(event.failure)
            return Step(row.seq, "turn failure", "", "failed", at, at, failure=text, actor=row.actor)


def shown_value(payload: Payload) -> Any:
    """The value of a payload as plain JSON types; what is not JSON is named by its encoding and size."""
    if bytes(payload.json):
        return msgspec.json.decode(payload.json)
    if payload.ref:
        return f"<stored apart: sha256 {payload.ref}>"
    if payload.encoding == "binary/null":
        return None
    return f"<{payload.encoding}, {len(payload.data)} bytes>"


def failure_text(failure: Failure) -> str:
    """One line: the type and message of a failure, and of what caused it."""
    parts: list[str] = []
    cause: Failure | None = failure
    while cause is not None:
        parts.append(": ".join(filter(None, (_failure_name(cause), cause.message))))
        cause = cause.cause
    return " <- ".join(parts)


def _failure_name(failure: Failure) -> str:
    if failure.type:
        return failure.type
    if failure.activity_type:
        return f"activity {failure.activity_type}"
    return failure.timeout_type.value if failure.timeout_type else failure.kind.value
