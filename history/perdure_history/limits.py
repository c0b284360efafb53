"""What is refused before anything is written, so that one bad request never fails a group of good ones."""

from collections.abc import Iterable

from perdure_history.errors import EventTooLargeError
from perdure_history.events import CLOSING_TYPES
from perdure_history.ids import MAX_NAME, MAX_NAMESPACE, check_id, check_text
from perdure_history.policies import closes
from perdure_history.records import RunFilter, SendMessage, StartRun, TerminateRun, TurnCommit, WorkerRecord

MAX_EVENT_BYTES = 4 * 1024 * 1024
"""Bytes of one event's attributes, as UTF-8: below what MySQL takes in one packet by default."""

_MAX_UTF8_BYTES = 4


def check_start(start: StartRun) -> None:
    """Raise InvalidIdError or EventTooLargeError when no store could hold this start."""
    check_target(start.namespace, start.workflow_id, start.run_id)
    check_id("workflow type", start.workflow_type, limit=MAX_NAME)
    check_id("task queue", start.task_queue, limit=MAX_NAME)
    check_id("request id", start.request_id)
    check_text("identity", start.first_event.actor)
    check_text("memo", start.memo or "")
    check_text("search attributes", start.search_attributes or "")
    check_size(start.run_id, start.first_event.type, start.first_event.attributes)


def check_message(message: SendMessage) -> None:
    """Raise InvalidIdError or EventTooLargeError when no store could hold this message."""
    check_target(message.namespace, message.workflow_id, message.run_id)
    check_id("request id", message.request_id)
    check_text("identity", message.actor)
    check_size(message.run_id or "", message.type, message.attributes)


def check_termination(request: TerminateRun) -> None:
    """Raise InvalidIdError or EventTooLargeError when no store could hold this request's event."""
    check_target(request.namespace, request.workflow_id, request.run_id)
    check_id("request id", request.request_id)
    check_text("identity", request.actor)
    check_size(request.run_id or "", "WorkflowExecutionTerminated", request.attributes)


def check_worker(worker: WorkerRecord) -> None:
    """Raise InvalidIdError when no store could hold this worker's row."""
    check_id("incarnation", worker.incarnation)
    for text in (worker.identity, worker.task_queues, worker.boot_id, worker.lock_file):
        check_text("worker's text", text)


def check_batch(batch: Iterable[TurnCommit]) -> None:
    """Raise EventTooLargeError for a row that is too large, InvalidIdError for an actor that is no text that
    every store takes, ValueError for a member that is malformed.

    Malformed: rows that are not numbered on from `prev_seq`, or a closing event that is not the last row of
    a member with a final status (or such a status without it). That is a bug of the caller; the store
    refuses it because nothing could mend it afterwards. The chain is the caller's: `verify` finds its faults.
    """
    actor = ""
    for member in batch:
        seq = member.prev_seq
        ends = False
        for row in member.rows:
            seq += 1
            if row.seq != seq or ends:
                expected = "nothing may follow a closing event" if ends else f"event {seq} was expected there"
                raise ValueError(
                    f"run {member.run_id}: a commit on event {member.prev_seq} has {row.type} as event {row.seq}; "
                    f"{expected}"
                )
            ends = row.type in CLOSING_TYPES
            check_size(member.run_id, row.type, row.attributes)
            if row.actor is not actor:
                # Nearly always one string object for all rows of a worker.
                actor = check_text("identity", row.actor)
        if member.update is not None:
            check_text("problem", member.update.problem or "")
        if ends != closes(member):
            raise ValueError(
                f"run {member.run_id}: a commit on event {member.prev_seq} "
                + (
                    "ends with a closing event but has no final status"
                    if ends
                    else "closes the run without a closing event"
                )
            )


def check_size(run_id: str, event_type: str, attributes: str) -> None:
    """Raise EventTooLargeError when the text has more than MAX_EVENT_BYTES."""
    if len(attributes) * _MAX_UTF8_BYTES <= MAX_EVENT_BYTES:
        return
    size = len(attributes.encode())
    if size > MAX_EVENT_BYTES:
        raise EventTooLargeError(run_id, event_type, size, MAX_EVENT_BYTES)


def check_target(namespace: str, workflow_id: str, run_id: str | None = None) -> None:
    """Raise InvalidIdError when no run can have these ids; also for reading, where a driver would choke."""
    check_id("namespace", namespace, limit=MAX_NAMESPACE)
    check_id("workflow id", workflow_id)
    if run_id is not None:
        check_id("run id", run_id)


def check_filter(where: RunFilter) -> None:
    """Raise InvalidIdError when a text in the filter is none that a database takes."""
    check_id("namespace", where.namespace, limit=MAX_NAMESPACE)
    for text in (
        where.workflow_id,
        where.workflow_id_prefix,
        where.run_id_prefix,
        where.task_queue,
        where.owner,
        *where.workflow_types,
    ):
        if text is not None:
            check_text("filter", text)
