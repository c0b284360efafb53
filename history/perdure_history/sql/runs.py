"""Transactions of clients: start a run, send it a message, end it."""

from sqlalchemy import delete, insert, literal, select, update

from perdure_history.endings import MESSAGE_TYPES, is_repeated, termination_for, termination_rows
from perdure_history.errors import RunAlreadyExistsError, RunClosedError, RunNotFoundError
from perdure_history.ids import RunId
from perdure_history.policies import DUE_NOW, StartDecision, closed_columns, decide_start, new_run
from perdure_history.records import (
    Change,
    ChangeKind,
    EventRow,
    Message,
    RunRecord,
    RunStatus,
    SendMessage,
    StartOutcome,
    StartRun,
    TerminateRun,
)
from perdure_history.sql.attempts import Attempt
from perdure_history.sql.rows import (
    EVENT_COLUMNS,
    MESSAGE_COLUMNS,
    RUN_COLUMNS,
    event_row,
    history_values,
    message,
    run_record,
    run_values,
)
from perdure_history.sql.schema import history, inbox, runs, workers
from perdure_history.sql.statements import (
    InsertStatement,
    Statement,
    Transaction,
    execute,
    fetch,
    insert_rows,
    parameter,
)

_OF_WORKFLOW = (
    runs.c.namespace == parameter("namespace"),
    runs.c.workflow_id == parameter("workflow_id"),
)

# Share locks (nothing on SQLite, whose writers are serial anyway) keep a run from being closed or released
# between this look and the commit that rests on it.
REQUESTED_RUN = Statement(
    "requested run",
    select(*RUN_COLUMNS).where(*_OF_WORKFLOW, runs.c.request_id == parameter("request_id")).limit(literal(1)),
    writes=False,
)
NEWEST_RUN = Statement(
    "newest run",
    select(*RUN_COLUMNS)
    .where(*_OF_WORKFLOW)
    .order_by(runs.c.nth.desc())
    .limit(literal(1))
    .with_for_update(read=True),
    writes=False,
)
NAMED_RUN = Statement(
    "named run",
    select(*RUN_COLUMNS)
    .where(*_OF_WORKFLOW, runs.c.run_id == parameter("run_id"))
    .with_for_update(read=True),
    writes=False,
)
_RUN_BY_ID = Statement(
    "run by id", select(*RUN_COLUMNS).where(runs.c.run_id == parameter("run_id")), writes=False
)
_LIVE_WORKER = Statement(
    "live worker",
    select(workers.c.incarnation)
    .where(workers.c.incarnation == parameter("incarnation"), workers.c.state == "live")
    .with_for_update(read=True, key_share=True),
    writes=False,
)
_INSERT_RUN = Statement("insert run", insert(runs), writes=True)
_WAKE_RUN = Statement(
    "wake run",
    update(runs).where(runs.c.run_id == parameter("of_run")).values(wake_at=DUE_NOW),
    writes=True,
)
_CLOSE_RUN = Statement(
    "close run",
    update(runs)
    .where(runs.c.run_id == parameter("of_run"))
    .values(
        open_id=None,
        status=parameter("status"),
        closed_at=parameter("closed_at"),
        owner=None,
        wake_at=None,
        orphaned_by=None,
        problem=None,
        history_length=parameter("history_length"),
    ),
    writes=True,
)
_WAITING_REQUEST = Statement(
    "waiting request",
    select(inbox.c.id).where(
        inbox.c.run_id == parameter("run_id"), inbox.c.request_id == parameter("request_id")
    ),
    writes=False,
)
_INSERT_MESSAGE = Statement(
    "insert message",
    insert(inbox).values({name: parameter(name) for name in Message.__struct_fields__ if name != "id"}),
    writes=True,
)
INBOX_OF_RUN = Statement(
    "inbox of run",
    select(*MESSAGE_COLUMNS).where(inbox.c.run_id == parameter("run_id")).order_by(inbox.c.id),
    writes=False,
)
EMPTY_INBOX = Statement(
    "empty inbox", delete(inbox).where(inbox.c.run_id == parameter("of_run")), writes=True
)
HEAD = Statement(
    "head",
    select(*EVENT_COLUMNS)
    .where(history.c.run_id == parameter("run_id"))
    .order_by(history.c.seq.desc())
    .limit(literal(1)),
    writes=False,
)
MESSAGE_EVENTS = Statement(
    "message events",
    select(*EVENT_COLUMNS).where(
        history.c.run_id == parameter("run_id"), history.c.type.in_([*MESSAGE_TYPES])
    ),
    writes=False,
)
INSERT_HISTORY = InsertStatement("insert history", history)


def start_run(start: StartRun, changes: list[Change], attempt: Attempt) -> Transaction[StartOutcome]:
    """See `RunStore.start_run`."""
    ids = {"namespace": start.namespace, "workflow_id": start.workflow_id}
    requested = yield from fetch(REQUESTED_RUN, request_id=start.request_id, **ids)
    if requested:
        run = run_record(requested[0])
        return StartOutcome(run_id=run.run_id, created=run.run_id == attempt.started, owner=run.owner)
    found = yield from fetch(NEWEST_RUN, **ids)
    newest = run_record(found[0]) if found else None
    decision = decide_start(start, newest)
    if newest is not None and decision is StartDecision.USE_EXISTING:
        return StartOutcome(run_id=newest.run_id, created=False, owner=newest.owner)
    taken = yield from fetch(_RUN_BY_ID, run_id=start.run_id)
    if taken:
        run = run_record(taken[0])
        raise RunAlreadyExistsError(run.workflow_id, run.workflow_type, run.run_id, run.status)
    if newest is not None and decision is StartDecision.TERMINATE_AND_CREATE:
        yield from _terminate(newest, termination_for(start, newest), changes)
    owner_is_live = start.owner is not None and bool(
        (yield from fetch(_LIVE_WORKER, incarnation=start.owner))
    )
    run = new_run(start, nth=newest.nth + 1 if newest is not None else 1, owner_is_live=owner_is_live)
    attempt.started = run.run_id
    yield from execute(_INSERT_RUN, **run_values(run, actor=start.first_event.actor))
    yield from insert_rows(INSERT_HISTORY, [history_values(run.run_id, start.first_event)])
    if run.owner is not None:
        changes.append(Change(ChangeKind.ASSIGNED, run.owner, run.run_id))
    else:
        changes.append(Change(ChangeKind.STARTED, run.task_queue, run.run_id))
    return StartOutcome(run_id=run.run_id, created=True, owner=run.owner)


def send_message(request: SendMessage, changes: list[Change]) -> Transaction[RunId]:
    """See `RunStore.send_message`."""
    run = yield from find_run(request.namespace, request.workflow_id, request.run_id)
    if run.status is not RunStatus.RUNNING:
        raise RunClosedError(run.workflow_id, run.run_id, run.status, "send a message to")
    if (yield from fetch(_WAITING_REQUEST, run_id=run.run_id, request_id=request.request_id)):
        return run.run_id
    yield from execute(
        _INSERT_MESSAGE,
        run_id=run.run_id,
        type=request.type,
        attributes=request.attributes,
        request_id=request.request_id,
        actor=request.actor,
        sent_at=request.sent_at,
    )
    if run.owner is not None:
        changes.append(Change(ChangeKind.MESSAGE, run.owner, run.run_id))
        return run.run_id
    if run.wake_at != DUE_NOW:
        yield from execute(_WAKE_RUN, of_run=run.run_id)
    changes.append(Change(ChangeKind.STARTED, run.task_queue, run.run_id))
    return run.run_id


def terminate_run(request: TerminateRun, changes: list[Change]) -> Transaction[RunId]:
    """See `RunStore.terminate_run`."""
    run = yield from find_run(request.namespace, request.workflow_id, request.run_id)
    if run.status is not RunStatus.RUNNING:
        if is_repeated(request, (yield from head_of(run.run_id))):
            return run.run_id
        raise RunClosedError(run.workflow_id, run.run_id, run.status, "terminate")
    yield from _terminate(run, request, changes)
    return run.run_id


def find_run(namespace: str, workflow_id: str, run_id: RunId | None) -> Transaction[RunRecord]:
    """The run with this run id, or the newest of the workflow id. Raises RunNotFoundError."""
    ids = {"namespace": namespace, "workflow_id": workflow_id}
    if run_id is None:
        found = yield from fetch(NEWEST_RUN, **ids)
    else:
        found = yield from fetch(NAMED_RUN, run_id=run_id, **ids)
    if not found:
        raise RunNotFoundError(namespace, workflow_id, run_id)
    return run_record(found[0])


def head_of(run_id: RunId) -> Transaction[EventRow | None]:
    """The last event of a run."""
    found = yield from fetch(HEAD, run_id=run_id)
    return event_row(found[0]) if found else None


def recorded_messages(run_id: RunId) -> Transaction[list[EventRow]]:
    """Those of the run's events that began as messages."""
    return [event_row(row) for row in (yield from fetch(MESSAGE_EVENTS, run_id=run_id))]


def _terminate(run: RunRecord, request: TerminateRun, changes: list[Change]) -> Transaction[None]:
    head = yield from head_of(run.run_id)
    if head is None:
        raise RunNotFoundError(run.namespace, run.workflow_id, run.run_id)
    unread = [message(row) for row in (yield from fetch(INBOX_OF_RUN, run_id=run.run_id))]
    recorded = (yield from recorded_messages(run.run_id)) if unread else []
    rows = termination_rows(request, head, run_id=run.run_id, unread=unread, recorded=recorded)
    columns = closed_columns(RunStatus.TERMINATED, rows[-1])
    yield from execute(
        _CLOSE_RUN,
        of_run=run.run_id,
        status=RunStatus.TERMINATED.value,
        closed_at=columns["closed_at"],
        history_length=columns["history_length"],
    )
    yield from insert_rows(INSERT_HISTORY, [history_values(run.run_id, row) for row in rows])
    if unread:
        yield from execute(EMPTY_INBOX, of_run=run.run_id)
    changes.append(Change(ChangeKind.CLOSED, run.run_id, run.run_id))
