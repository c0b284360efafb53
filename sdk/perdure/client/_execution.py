"""What a client sees of runs: summaries, descriptions, histories."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import IntEnum
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
)
from perdure_history.failures import Failure
from perdure_history.records import EventRow, RunRecord, TurnProblem, decode_problem


class WorkflowExecutionStatus(IntEnum):
    """Where a run stands; the numbers are Temporal's."""

    RUNNING = 1
    COMPLETED = 2
    FAILED = 3
    CANCELED = 4
    TERMINATED = 5
    CONTINUED_AS_NEW = 6
    TIMED_OUT = 7


@dataclass(frozen=True)
class WorkflowExecution:
    """A run as lists show it."""

    id: str
    """The workflow id."""
    run_id: str
    namespace: str
    workflow_type: str
    task_queue: str
    status: WorkflowExecutionStatus
    start_time: datetime
    close_time: datetime | None
    history_length: int | None
    """Number of events; None while the run is open."""
    problem: TurnProblem | None
    """Why the run does not move, with the traceback; None while it does."""

    @property
    def execution_time(self) -> datetime:
        """When it began, which is when it was started."""
        return self.start_time


@dataclass(frozen=True)
class PendingActivityInfo:
    """An activity that has no outcome yet."""

    activity_id: str
    activity_type: str
    scheduled_seq: int
    scheduled_time: datetime
    attempt: int
    """The attempt that is running or waits to be made."""
    next_attempt_time: datetime | None
    """When a retry is due; None on the first attempt."""
    last_failure: Failure | None
    cancel_requested: bool


@dataclass(frozen=True)
class WorkflowExecutionDescription(WorkflowExecution):
    """A run as `describe` shows it."""

    pending_activities: Sequence[PendingActivityInfo]
    """Oldest first."""
    worker: str | None
    """Incarnation of the worker that holds the run now."""
    next_attention_time: datetime | None
    """When a run that no worker holds is next wanted."""


@dataclass(frozen=True)
class HistoryEntry:
    """A recorded event with its place in the run."""

    event_id: int
    """Its seq: 1, 2, 3 ... without gaps."""
    event_type: str
    event_time: datetime
    turn: int | None
    """The turn it is input to or output of; None for a note."""
    actor: str
    event: Event
    hash: bytes


@dataclass(frozen=True)
class WorkflowHistory:
    """All events of a run, oldest first."""

    workflow_id: str
    run_id: str
    events: Sequence[HistoryEntry]

    def to_json(self) -> str:
        """The history as JSON text: what stands in the log, with the attributes as JSON."""
        return msgspec.json.encode(
            {
                "workflow_id": self.workflow_id,
                "run_id": self.run_id,
                "events": [
                    {
                        "event_id": entry.event_id,
                        "event_type": entry.event_type,
                        "event_time": entry.event_time,
                        "turn": entry.turn,
                        "actor": entry.actor,
                        "attributes": entry.event,
                        "hash": entry.hash.hex(),
                    }
                    for entry in self.events
                ],
            }
        ).decode()


def history_entry(run_id: str, row: EventRow) -> HistoryEntry:
    """The event of a stored row; raises CorruptHistoryError when it does not decode."""
    event = decode_event(row.type, row.attributes, run_id=run_id, seq=row.seq)
    return HistoryEntry(row.seq, row.type, moment(row.recorded_at), row.turn, row.actor, event, row.hash)


def execution_fields(record: RunRecord) -> dict[str, Any]:
    """The keyword arguments of `WorkflowExecution` for a summary row."""
    return {
        "id": record.workflow_id,
        "run_id": record.run_id,
        "namespace": record.namespace,
        "workflow_type": record.workflow_type,
        "task_queue": record.task_queue,
        "status": WorkflowExecutionStatus[record.status.name],
        "start_time": moment(record.started_at),
        "close_time": None if record.closed_at is None else moment(record.closed_at),
        "history_length": record.history_length,
        "problem": None if record.problem is None else decode_problem(record.problem),
    }


def pending_activities(entries: Sequence[HistoryEntry]) -> list[PendingActivityInfo]:
    """Activities without an outcome in a history, oldest first."""
    pending: dict[int, PendingActivityInfo] = {}
    for entry in entries:
        match entry.event:
            case ActivityTaskScheduled() as event:
                pending[entry.event_id] = PendingActivityInfo(
                    activity_id=event.activity_id,
                    activity_type=event.activity_type,
                    scheduled_seq=entry.event_id,
                    scheduled_time=entry.event_time,
                    attempt=1,
                    next_attempt_time=None,
                    last_failure=None,
                    cancel_requested=False,
                )
            case ActivityTaskAttemptFailed() as event if event.scheduled_seq in pending:
                pending[event.scheduled_seq] = replace(
                    pending[event.scheduled_seq],
                    attempt=event.attempt + 1,
                    next_attempt_time=moment(event.next_attempt_at),
                    last_failure=event.failure,
                )
            case ActivityTaskCancelRequested() as event if event.scheduled_seq in pending:
                pending[event.scheduled_seq] = replace(pending[event.scheduled_seq], cancel_requested=True)
            case (
                ActivityTaskCompleted()
                | ActivityTaskFailed()
                | ActivityTaskTimedOut()
                | ActivityTaskCanceled()
            ) as event:
                pending.pop(event.scheduled_seq, None)
            case _:
                pass
    return list(pending.values())


def moment(us: int) -> datetime:
    """An aware time from microseconds since 1970 UTC."""
    return datetime.fromtimestamp(us // 1_000_000, UTC).replace(microsecond=us % 1_000_000)
