"""What readers ask: one statement each, so that each answer is one moment of the database."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, func, literal, select, tuple_

from perdure_history.errors import WorkerDeadError
from perdure_history.ids import RunId
from perdure_history.listing import parse_cursor
from perdure_history.records import Message, RunFilter, RunStatus
from perdure_history.sql.rows import EVENT_COLUMNS, MESSAGE_COLUMNS, RUN_COLUMNS, WORKER_COLUMNS, message
from perdure_history.sql.schema import history, inbox, runs, workers
from perdure_history.sql.statements import Row, Statement, parameter, parameters

HISTORY = Statement(
    "read history",
    select(*EVENT_COLUMNS)
    .where(history.c.run_id == parameter("run_id"), history.c.seq > parameter("after_seq"))
    .order_by(history.c.seq)
    .limit(parameter("count")),
    writes=False,
)
_STATE = Statement(
    "list workers",
    select(*WORKER_COLUMNS)
    .where(workers.c.state == parameter("state"))
    .order_by(workers.c.started_at, workers.c.incarnation),
    writes=False,
)
_ALL_WORKERS = Statement(
    "list all workers",
    select(*WORKER_COLUMNS).order_by(workers.c.started_at, workers.c.incarnation),
    writes=False,
)
# The worker's row comes first and always, so that one statement tells a dead worker from an empty inbox; the
# owner is looked up for each waiting message, since messages are few and a worker's runs may be many.
INBOX_OF_WORKER = Statement(
    "inbox of worker",
    select(*MESSAGE_COLUMNS)
    .select_from(
        workers.outerjoin(
            inbox,
            select(runs.c.owner).where(runs.c.run_id == inbox.c.run_id).scalar_subquery()
            == workers.c.incarnation,
        )
    )
    .where(workers.c.incarnation == parameter("incarnation"), workers.c.state == "live")
    .order_by(inbox.c.id),
    writes=False,
)

UNLIMITED = 2**62
"""As a limit: all rows."""

Query = tuple[Statement, dict[str, Any]]


def workers_in(state: str | None) -> Query:
    """Workers in a state, oldest first."""
    return (_ALL_WORKERS, {}) if state is None else (_STATE, {"state": state})


def history_of(run_id: RunId, after_seq: int, limit: int | None) -> Query:
    """Events of a run after a seq, in order."""
    count = UNLIMITED if limit is None else max(limit, 0)
    return HISTORY, {"run_id": run_id, "after_seq": after_seq, "count": count}


def messages_of(incarnation: str, rows: Sequence[Row]) -> list[Message]:
    """From INBOX_OF_WORKER, in order of acceptance. Raises WorkerDeadError."""
    if not rows:
        raise WorkerDeadError(incarnation)
    return [message(row) for row in rows if row[0] is not None]


def list_runs(where: RunFilter, *, limit: int, cursor: str | None) -> Query:
    """The page of runs that the filter admits after the cursor, and one more to know whether there is more."""
    conditions, values = _conditions(where)
    if cursor is not None:
        started_at, run_id = parse_cursor(cursor)
        conditions.append(
            tuple_(runs.c.started_at, runs.c.run_id)
            < tuple_(parameter("cursor_started_at"), parameter("cursor_run_id"))
        )
        values |= {"cursor_started_at": started_at, "cursor_run_id": run_id}
    statement = (
        select(*RUN_COLUMNS)
        .where(*conditions)
        .order_by(runs.c.started_at.desc(), runs.c.run_id.desc())
        .limit(parameter("count"))
    )
    return Statement("list runs", statement, writes=False), values | {"count": limit + 1}


def count_runs(where: RunFilter) -> Query:
    """Status and number of runs that the filter admits."""
    conditions, values = _conditions(where)
    statement = select(runs.c.status, func.count()).where(*conditions).group_by(runs.c.status)
    return Statement("count runs", statement, writes=False), values


def _conditions(where: RunFilter) -> tuple[list[ColumnElement[bool]], dict[str, Any]]:
    """The filter as conditions on columns of ours; every value is bound."""
    conditions: list[ColumnElement[bool]] = [runs.c.namespace == parameter("namespace")]
    values: dict[str, Any] = {"namespace": where.namespace}

    def add(name: str, value: Any, condition: ColumnElement[bool]) -> None:
        if value is not None:
            conditions.append(condition)
            values[name] = value

    def add_list(name: str, column: ColumnElement[Any], wanted: Sequence[str]) -> None:
        if wanted:
            conditions.append(column.in_(parameters(name, len(wanted))))
            values.update({f"{name}_{n}": value for n, value in enumerate(wanted, 1)})

    def add_prefix(name: str, column: ColumnElement[Any], prefix: str | None) -> None:
        if prefix:
            # LIKE would ignore case; the comparison lets an index skip what sorts before.
            conditions.append(column >= parameter(name))
            conditions.append(func.substr(column, literal(1), literal(len(prefix))) == parameter(name))
            values[name] = prefix

    add_list("statuses", runs.c.status, [RunStatus(status).value for status in where.statuses])
    add_list("types", runs.c.workflow_type, where.workflow_types)
    add("workflow_id", where.workflow_id, runs.c.workflow_id == parameter("workflow_id"))
    add_prefix("workflow_id_prefix", runs.c.workflow_id, where.workflow_id_prefix)
    add_prefix("run_id_prefix", runs.c.run_id, where.run_id_prefix)
    add("task_queue", where.task_queue, runs.c.task_queue == parameter("task_queue"))
    add("owner", where.owner, runs.c.owner == parameter("owner"))
    add("started_after", where.started_after, runs.c.started_at > parameter("started_after"))
    add("started_before", where.started_before, runs.c.started_at < parameter("started_before"))
    if where.with_problem is not None:
        has_problem = runs.c.problem.is_not(None)
        conditions.append(has_problem if where.with_problem else ~has_problem)
    return conditions, values
