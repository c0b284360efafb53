"""The commit of turns: the one transaction that everything else waits for.

    1 fence    the worker's row is live, or nothing of it commits any more
    2 places   one statement: for each member the event it builds on, and whether something stands behind it
    3 owners   only for members that change their run's summary: whose is it, what is unread
    4 judge    a pure decision for each member; the losers drop out here and leave no trace
    5 write    runs that change, the rows of all members together, the messages they took

A group of plain steps is four statements with BEGIN and COMMIT left out: fence, places, rows.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import BigInteger, Text, and_, column, delete, literal, literal_column, select, update, values
from sqlalchemy.sql import ClauseElement

from perdure_history.endings import closing_rows
from perdure_history.errors import WorkerDeadError
from perdure_history.events import CLOSING_TYPES
from perdure_history.ids import RunId
from perdure_history.policies import changed_columns, closes, judge
from perdure_history.records import Change, ChangeKind, EventRow, Message, TurnCommit, Verdict
from perdure_history.sql.rows import EVENT_COLUMNS, MESSAGE_COLUMNS, event_row, history_values, message
from perdure_history.sql.runs import EMPTY_INBOX, INSERT_HISTORY, head_of, recorded_messages
from perdure_history.sql.schema import history, inbox, runs, workers
from perdure_history.sql.statements import (
    ListStatement,
    Row,
    Statement,
    Transaction,
    execute,
    execute_many,
    fetch,
    fetch_list,
    insert_rows,
    parameter,
    parameters,
)

FENCE = Statement(
    "fence",
    select(literal(1))
    .select_from(workers)
    .where(workers.c.incarnation == parameter("incarnation"), workers.c.state == "live")
    .with_for_update(read=True, key_share=True),
    writes=False,
)


def _places(size: int) -> ClauseElement:
    # A join, not `(run_id, seq) IN (...)`, for which SQLite reads the whole table.
    pairs = [(parameter(f"run_id_{n}"), parameter(f"seq_{n}")) for n in range(size)]
    wanted = values(column("run_id", Text), column("seq", BigInteger)).data(pairs).cte("wanted")
    return select(history.c.run_id, history.c.seq, history.c.type, history.c.hash).join_from(
        wanted,
        history,
        and_(
            history.c.run_id == wanted.c.run_id,
            history.c.seq.between(wanted.c.seq, wanted.c.seq + literal_column("1")),
        ),
    )


_PLACES = ListStatement("places", _places)
_OWNERS = ListStatement(
    "owners",
    lambda size: (
        select(runs.c.run_id, runs.c.owner, runs.c.task_queue)
        .where(runs.c.run_id.in_(parameters("ids", size)))
        .with_for_update()
    ),
)
_UNREAD = ListStatement(
    "unread",
    lambda size: (
        select(*MESSAGE_COLUMNS).where(inbox.c.run_id.in_(parameters("ids", size))).order_by(inbox.c.id)
    ),
)
_EVENT = Statement(
    "event",
    select(*EVENT_COLUMNS).where(history.c.run_id == parameter("run_id"), history.c.seq == parameter("seq")),
    writes=False,
)
_TAKE_MESSAGE = Statement(
    "take message",
    delete(inbox).where(inbox.c.run_id == parameter("of_run"), inbox.c.id == parameter("taken")),
    writes=True,
)
_update_runs: dict[tuple[str, ...], Statement] = {}


def fence(incarnation: str) -> Transaction[None]:
    """The worker fence: a missing row is as dead as a dead one. Raises WorkerDeadError."""
    if not (yield from fetch(FENCE, incarnation=incarnation)):
        raise WorkerDeadError(incarnation)


def commit_turns(
    incarnation: str, batch: Sequence[TurnCommit], changes: list[Change], clock: Callable[[], int]
) -> Transaction[list[Verdict]]:
    """See `WorkStore.commit_turns`."""
    yield from fence(incarnation)
    verdicts: list[Verdict] = []
    for wave in _waves(batch):
        verdicts.extend((yield from _commit_wave(incarnation, wave, changes, clock)))
    return verdicts


def _waves(batch: Sequence[TurnCommit]) -> Iterable[Sequence[TurnCommit]]:
    """`batch` cut so that no run is twice in one part; nearly always in one piece."""
    if len({member.run_id for member in batch}) == len(batch):
        return (batch,) if batch else ()
    waves: list[list[TurnCommit]] = [[]]
    seen: set[str] = set()
    for member in batch:
        if member.run_id in seen:
            waves.append([])
            seen.clear()
        seen.add(member.run_id)
        waves[-1].append(member)
    return waves


def _commit_wave(
    incarnation: str, wave: Sequence[TurnCommit], changes: list[Change], clock: Callable[[], int]
) -> Transaction[list[Verdict]]:
    places = [(member.run_id, member.prev_seq) for member in wave]
    found: dict[tuple[str, int], Row] = {}
    for row in (yield from fetch_list(_PLACES, places)):
        found[row[0], row[1]] = row
    changing = [member.run_id for member in wave if member.update is not None]
    summaries = yield from _summaries(changing)

    verdicts: list[Verdict] = []
    landing: list[_Landing] = []
    for member in wave:
        before = found.get((member.run_id, member.prev_seq))
        if (
            member.update is None
            and before is not None
            and before[3] == member.prev_hash
            and before[2] not in CLOSING_TYPES
            and (member.run_id, member.prev_seq + 1) not in found
        ):
            verdicts.append(Verdict.COMMITTED)
            landing.append(_Landing(member, None))
            continue
        verdict, lands = yield from _judge(incarnation, member, found, summaries)
        verdicts.append(verdict)
        if lands:
            landing.append(_Landing(member, summaries.get(member.run_id)))
    yield from _write(landing, changes, clock)
    return verdicts


class _Summary:
    """What a member that changes its run's summary has to know of it."""

    __slots__ = ("owner", "task_queue", "unread")

    def __init__(self, owner: str | None, task_queue: str) -> None:
        self.owner = owner
        self.task_queue = task_queue
        self.unread: list[Message] = []

    def left_by(self, member: TurnCommit) -> list[Message]:
        """Messages that the member does not take."""
        return [waiting for waiting in self.unread if waiting.id not in member.taken]


class _Landing:
    """A member that is to be written."""

    __slots__ = ("member", "summary")

    def __init__(self, member: TurnCommit, summary: _Summary | None) -> None:
        self.member = member
        self.summary = summary


def _summaries(run_ids: Sequence[RunId]) -> Transaction[dict[str, _Summary]]:
    if not run_ids:
        return {}
    ids = [(run_id,) for run_id in run_ids]
    summaries = {row[0]: _Summary(row[1], row[2]) for row in (yield from fetch_list(_OWNERS, ids))}
    # A statement of its own, after the lock: a sender that held the row has committed by now.
    for row in (yield from fetch_list(_UNREAD, ids)):
        waiting = message(row)
        if waiting.run_id in summaries:
            summaries[waiting.run_id].unread.append(waiting)
    return summaries


def _judge(
    incarnation: str, member: TurnCommit, found: dict[tuple[str, int], Row], summaries: dict[str, _Summary]
) -> Transaction[tuple[Verdict, bool]]:
    """The verdict on a member that is more than a plain step, or whose place is not free."""
    before = found.get((member.run_id, member.prev_seq))
    at_its_place: EventRow | None = None
    if before is not None and (member.run_id, member.prev_seq + 1) not in found:
        head: EventRow | None = EventRow(member.prev_seq, None, before[2], "", 0, "", before[3])
    else:
        head = yield from head_of(member.run_id)
        rows = yield from fetch(_EVENT, run_id=member.run_id, seq=member.prev_seq + len(member.rows))
        at_its_place = event_row(rows[0]) if rows else None
    summary = summaries.get(member.run_id)
    return judge(
        member,
        incarnation,
        owner=summary.owner if summary is not None else None,
        head=head,
        at_its_place=at_its_place,
        has_unread=summary is not None and bool(summary.left_by(member)),
    )


def _write(landing: Sequence[_Landing], changes: list[Change], clock: Callable[[], int]) -> Transaction[None]:
    rows: list[tuple[Any, ...]] = []
    taken: list[tuple[str, int]] = []
    updates: dict[tuple[str, ...], list[tuple[Any, ...]]] = {}
    emptied: list[RunId] = []
    for item in landing:
        member, summary = item.member, item.summary
        run_id = member.run_id
        own_rows = member.rows
        if summary is not None:
            if closes(member) and (left := summary.left_by(member)):
                recorded = yield from recorded_messages(run_id)
                own_rows = closing_rows(member, unread=left, recorded=recorded)
                emptied.append(run_id)
            columns = _summary_columns(member, own_rows)
            if columns:
                updates.setdefault(tuple(columns), []).append((*columns.values(), run_id))
            _announce(member, summary, columns, changes, clock)
        rows.extend([history_values(run_id, row) for row in own_rows])
        taken.extend([(run_id, message_id) for message_id in member.taken])
    # Runs that close go before anything that could take their workflow id over.
    for names, changed in updates.items():
        yield from execute_many(_update_run(names), changed)
    yield from insert_rows(INSERT_HISTORY, rows)
    yield from execute_many(_TAKE_MESSAGE, taken)
    for run_id in emptied:
        yield from execute(EMPTY_INBOX, of_run=run_id)


def _summary_columns(member: TurnCommit, rows: Sequence[EventRow]) -> dict[str, Any]:
    columns = changed_columns(member, rows)
    if closes(member):
        columns["open_id"] = None
        columns["status"] = str(columns["status"])
    return columns


def _announce(
    member: TurnCommit,
    summary: _Summary,
    columns: dict[str, Any],
    changes: list[Change],
    clock: Callable[[], int],
) -> None:
    if closes(member):
        changes.append(Change(ChangeKind.CLOSED, member.run_id, member.run_id))
        return
    wake_at = columns.get("wake_at")
    if wake_at is not None and wake_at <= clock():
        changes.append(Change(ChangeKind.STARTED, summary.task_queue, member.run_id))


def _update_run(names: tuple[str, ...]) -> Statement:
    """The UPDATE of these columns; few combinations exist."""
    found = _update_runs.get(names)
    if found is None:
        statement = (
            update(runs)
            .where(runs.c.run_id == parameter("of_run"))
            .ordered_values(*((runs.c[name], parameter(f"new_{name}")) for name in names))
        )
        found = _update_runs[names] = Statement("update run", statement, writes=True)
    return found
