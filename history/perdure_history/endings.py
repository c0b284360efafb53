"""How a run is ended from outside, with every accepted message accounted for."""

import itertools
from collections.abc import Iterable, Sequence

import msgspec

from perdure_history.chain import event_hash, seal
from perdure_history.codec import decode_event, encode_event
from perdure_history.events import (
    Event,
    WorkflowExecutionCancelRequested,
    WorkflowExecutionSignaled,
    WorkflowExecutionTerminated,
)
from perdure_history.records import EventRow, Message, RunRecord, StartRun, TerminateRun, TurnCommit

MESSAGE_TYPES = (WorkflowExecutionSignaled.__name__, WorkflowExecutionCancelRequested.__name__)
"""Types of events that began as messages and carry their request id."""


def termination_for(start: StartRun, existing: RunRecord) -> TerminateRun:
    """The request by which `start` ends the open run in its way: same actor, time and request id."""
    reason = f"replaced by run {start.run_id}"
    event = WorkflowExecutionTerminated(reason=reason, request_id=start.request_id)
    return TerminateRun(
        namespace=existing.namespace,
        workflow_id=existing.workflow_id,
        run_id=existing.run_id,
        reason=reason,
        attributes=encode_event(event),
        request_id=start.request_id,
        actor=start.first_event.actor,
        at=start.first_event.recorded_at,
    )


def termination_rows(
    request: TerminateRun,
    head: EventRow,
    *,
    run_id: str,
    unread: Sequence[Message],
    recorded: Iterable[EventRow],
) -> tuple[EventRow, ...]:
    """The rows that terminate a run, chained to `head`: its unread messages as notes, then the closing event.

    `unread` and `recorded` are as for `last_rows`. The time of the rows never runs backwards.
    """
    closing = EventRow(
        seq=head.seq + 1,
        turn=None,
        type=WorkflowExecutionTerminated.__name__,
        attributes=request.attributes,
        recorded_at=max(request.at, head.recorded_at),
        actor=request.actor,
        hash=b"",
    )
    return last_rows(run_id, closing, before=head, unread=unread, recorded=recorded)


def closing_rows(
    member: TurnCommit, *, unread: Sequence[Message], recorded: Iterable[EventRow]
) -> tuple[EventRow, ...]:
    """The rows of a commit that closes its run, with the messages it does not take as notes before the last.

    Without unread messages they are the member's own, byte for byte.
    """
    if not unread:
        return member.rows
    body, closing = member.rows[:-1], member.rows[-1]
    before = body[-1] if body else None
    rest = last_rows(
        member.run_id,
        closing,
        before=before if before is not None else _place(member.prev_seq, member.prev_hash),
        unread=unread,
        recorded=itertools.chain(recorded, (row for row in body if row.type in MESSAGE_TYPES)),
    )
    return *body, *rest


def last_rows(
    run_id: str,
    closing: EventRow,
    *,
    before: EventRow,
    unread: Sequence[Message],
    recorded: Iterable[EventRow],
) -> tuple[EventRow, ...]:
    """`unread` as undelivered notes behind `before`, then `closing`, chained anew behind them.

    `unread` is what is left of the run's inbox, in order of acceptance; `recorded` are the run's events of
    MESSAGE_TYPES (looked at only when `unread` is not empty), so that a message that was taken and then sent
    once more is not called undelivered.
    """
    known = (
        {request_id_of(decode_event(row.type, row.attributes)) for row in recorded} if unread else set[str]()
    )
    at = closing.recorded_at
    notes = seal(
        run_id,
        [
            (undelivered(message), None, message.actor)
            for message in unread
            if message.request_id not in known
        ],
        prev_seq=before.seq,
        prev_hash=before.hash,
        recorded_at=at,
    )
    last = notes[-1] if notes else before
    seq = last.seq + 1
    digest = event_hash(
        last.hash, run_id, seq, closing.turn, closing.type, closing.actor, at, closing.attributes
    )
    return *notes, msgspec.structs.replace(closing, seq=seq, hash=digest)


def _place(seq: int, digest: bytes) -> EventRow:
    """A row of which only the place and the hash matter."""
    return EventRow(seq, None, "", "", 0, "", digest)


def is_repeated(request: TerminateRun, last: EventRow | None) -> bool:
    """Whether `last`, the end of a closed run, came from this very request, whose answer must have been lost."""
    if last is None or last.type != WorkflowExecutionTerminated.__name__:
        return False
    event = decode_event(last.type, last.attributes)
    return isinstance(event, WorkflowExecutionTerminated) and event.request_id == request.request_id


def undelivered(message: Message) -> Event:
    """The event that records a message which came too late for workflow code to see."""
    event = decode_event(message.type, message.attributes, run_id=message.run_id)
    match event:
        case WorkflowExecutionSignaled() | WorkflowExecutionCancelRequested():
            return msgspec.structs.replace(event, delivered=False)
        case _:
            return event


def request_id_of(event: Event) -> str:
    """The request id of an event that began as a message; empty for any other."""
    match event:
        case WorkflowExecutionSignaled() | WorkflowExecutionCancelRequested():
            return event.request_id
        case _:
            return ""
