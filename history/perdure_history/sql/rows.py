"""Structs of the store contract <-> rows of the tables."""

from typing import Any

from perdure_history.ids import RunId
from perdure_history.records import EventRow, Message, RunRecord, RunStatus, WorkerRecord
from perdure_history.sql.schema import history, inbox, runs, workers
from perdure_history.sql.statements import Row

EVENT_COLUMNS = tuple(history.c[name] for name in EventRow.__struct_fields__)
RUN_COLUMNS = tuple(runs.c[name] for name in RunRecord.__struct_fields__)
MESSAGE_COLUMNS = tuple(inbox.c[name] for name in Message.__struct_fields__)
WORKER_COLUMNS = tuple(workers.c[name] for name in WorkerRecord.__struct_fields__)

_RUN_FIELDS = RunRecord.__struct_fields__
_MESSAGE_FIELDS = Message.__struct_fields__
_WORKER_FIELDS = WorkerRecord.__struct_fields__


def event_row(row: Row) -> EventRow:
    """From EVENT_COLUMNS."""
    return EventRow(*row)


def run_record(row: Row) -> RunRecord:
    """From RUN_COLUMNS."""
    values: dict[str, Any] = dict(zip(_RUN_FIELDS, row, strict=True))
    values["status"] = RunStatus(values["status"])
    return RunRecord(**values)


def message(row: Row) -> Message:
    """From MESSAGE_COLUMNS."""
    values: dict[str, Any] = dict(zip(_MESSAGE_FIELDS, row, strict=True))
    return Message(**values)


def worker_record(row: Row) -> WorkerRecord:
    """From WORKER_COLUMNS."""
    values: dict[str, Any] = dict(zip(_WORKER_FIELDS, row, strict=True))
    return WorkerRecord(**values)


def history_values(run_id: RunId, event: EventRow) -> tuple[Any, ...]:
    """In the order of the history's columns."""
    return (
        run_id,
        event.seq,
        event.turn,
        event.type,
        event.recorded_at,
        event.actor,
        event.attributes,
        event.hash,
    )


def run_values(run: RunRecord, *, actor: str) -> dict[str, Any]:
    """All columns of a run that `actor` is inserting."""
    values: dict[str, Any] = {name: getattr(run, name) for name in _RUN_FIELDS}
    values.update(
        status=run.status.value,
        open_id=run.workflow_id if run.status is RunStatus.RUNNING else None,
        parent_seq=None,
        fork_hash=None,
        claim_head=None,
        actor=actor,
        reason=None,
    )
    return values


def worker_values(worker: WorkerRecord) -> dict[str, Any]:
    """All columns of a worker."""
    return {name: getattr(worker, name) for name in _WORKER_FIELDS}
