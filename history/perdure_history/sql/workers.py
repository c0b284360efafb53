"""Transactions of workers about themselves: leases, claims, and what a death sets free."""

import functools
from collections.abc import Sequence

import msgspec
from sqlalchemy import ColumnElement, and_, func, insert, null, select, update

from perdure_history.errors import WorkerDeadError
from perdure_history.policies import DUE_NOW, claimed_columns, with_columns
from perdure_history.records import Change, ChangeKind, Claim, Message, RunRecord, RunStatus, WorkerRecord
from perdure_history.sql.attempts import Attempt
from perdure_history.sql.rows import (
    MESSAGE_COLUMNS,
    RUN_COLUMNS,
    WORKER_COLUMNS,
    message,
    run_record,
    worker_record,
    worker_values,
)
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
    parameter,
    parameters,
)
from perdure_history.sql.turns import fence

_OF_WORKER = workers.c.incarnation == parameter("of_worker")
_HELD = runs.c.owner == parameter("old_owner")
_STUCK = and_(runs.c.problem.is_not(None), runs.c.status == RunStatus.RUNNING.value, runs.c.owner.is_(None))

_INSERT_WORKER = Statement("insert worker", insert(workers), writes=True)
_READ_WORKER = Statement(
    "read worker",
    select(*WORKER_COLUMNS).where(_OF_WORKER).with_for_update(),
    writes=False,
)
_BEAT = Statement("beat", update(workers).where(_OF_WORKER).values(beat=workers.c.beat + 1), writes=True)
_MARK_DEAD = Statement("mark dead", update(workers).where(_OF_WORKER).values(state="dead"), writes=True)
_HELD_QUEUES = Statement("held queues", select(runs.c.task_queue).where(_HELD).distinct(), writes=False)
_STUCK_QUEUES = Statement("stuck queues", select(runs.c.task_queue).where(_STUCK).distinct(), writes=False)
_WAKE_STUCK = Statement("wake stuck", update(runs).where(_STUCK).values(wake_at=DUE_NOW), writes=True)
_FREE = Statement("free runs", update(runs).where(_HELD).values(owner=None, wake_at=DUE_NOW), writes=True)
# A run that lost two owners in a row keeps the first: the second had noted nothing of what was lost.
_ORPHAN = Statement(
    "orphan runs",
    update(runs)
    .where(_HELD)
    .values(
        owner=None,
        wake_at=DUE_NOW,
        orphaned_by=func.coalesce(runs.c.orphaned_by, parameter("dead")),
    ),
    writes=True,
)
_CLAIM = Statement(
    "claim run",
    update(runs)
    .where(runs.c.run_id == parameter("of_run"))
    .ordered_values(
        (runs.c.owner, parameter("new_owner")),
        (runs.c.epoch, parameter("new_epoch")),
        (runs.c.claims, parameter("new_claims")),
        (runs.c.claim_head, parameter("new_claim_head")),
        (runs.c.wake_at, null()),
    ),
    writes=True,
)
_LENGTHS = ListStatement(
    "lengths",
    lambda size: (
        select(history.c.run_id, func.max(history.c.seq))
        .where(history.c.run_id.in_(parameters("ids", size)))
        .group_by(history.c.run_id)
    ),
)
_RUNS = ListStatement(
    "runs", lambda size: select(*RUN_COLUMNS).where(runs.c.run_id.in_(parameters("ids", size)))
)
_MESSAGES = ListStatement(
    "messages",
    lambda size: (
        select(*MESSAGE_COLUMNS).where(inbox.c.run_id.in_(parameters("ids", size))).order_by(inbox.c.id)
    ),
)


def register_worker(worker: WorkerRecord, changes: list[Change]) -> Transaction[None]:
    """See `WorkStore.register_worker`."""
    if (yield from fetch(_READ_WORKER, of_worker=worker.incarnation)):
        yield from fence(worker.incarnation)
        return
    yield from execute(_INSERT_WORKER, **(worker_values(worker) | {"state": "live"}))
    queues = sorted(row[0] for row in (yield from fetch(_STUCK_QUEUES)))
    if queues:
        yield from execute(_WAKE_STUCK)
        changes.extend(Change(ChangeKind.STARTED, queue) for queue in queues)


def beat(incarnation: str, attempt: Attempt) -> Transaction[int]:
    """See `WorkStore.beat`."""
    # The row that is read anyway is the fence.
    rows = yield from fetch(_READ_WORKER, of_worker=incarnation)
    if not rows or worker_record(rows[0]).state != "live":
        raise WorkerDeadError(incarnation)
    now = worker_record(rows[0]).beat
    if now == attempt.beaten:
        return now
    attempt.beaten = now + 1
    yield from execute(_BEAT, of_worker=incarnation)
    return now + 1


def bury_worker(
    incarnation: str, expected_beat: int, changes: list[Change], attempt: Attempt
) -> Transaction[int | None]:
    """See `WorkStore.bury_worker`. The row's lock waits for the worker's commits that are under way."""
    rows = yield from fetch(_READ_WORKER, of_worker=incarnation)
    if not rows:
        return None
    worker = worker_record(rows[0])
    if worker.state != "live":
        return attempt.freed
    if worker.beat != expected_beat:
        return None
    queues = sorted(row[0] for row in (yield from fetch(_HELD_QUEUES, old_owner=incarnation)))
    yield from execute(_MARK_DEAD, of_worker=incarnation)
    freed = yield from execute(_ORPHAN, old_owner=incarnation, dead=incarnation)
    changes.extend(Change(ChangeKind.STARTED, queue) for queue in queues)
    attempt.freed = freed
    return freed


def retire_worker(incarnation: str, changes: list[Change], attempt: Attempt) -> Transaction[int]:
    """See `WorkStore.retire_worker`."""
    rows = yield from fetch(_READ_WORKER, of_worker=incarnation)
    if rows and worker_record(rows[0]).state != "live" and attempt.freed is not None:
        return attempt.freed
    yield from fence(incarnation)
    queues = sorted(row[0] for row in (yield from fetch(_HELD_QUEUES, old_owner=incarnation)))
    yield from execute(_MARK_DEAD, of_worker=incarnation)
    freed = yield from execute(_FREE, old_owner=incarnation)
    changes.extend(Change(ChangeKind.STARTED, queue) for queue in queues)
    attempt.freed = freed
    return freed


def claim_runs(
    incarnation: str, wanted: "Wanted", attempt: Attempt, *, until: int, limit: int
) -> Transaction[list[Claim]]:
    """See `WorkStore.claim_runs`; takes runs that are due by `until`."""
    yield from fence(incarnation)
    found = yield from _claimed_before(incarnation, attempt)
    if not found and not wanted.is_nothing:
        values = wanted.parameters()
        rows = yield from fetch(due_runs(wanted), until=until, count=limit, **values)
        found = yield from _claim(incarnation, rows)
        attempt.claimed = {run.run_id: run.epoch for run in found}
    inboxes: dict[str, list[Message]] = {run.run_id: [] for run in found}
    for row in (yield from fetch_list(_MESSAGES, [(run_id,) for run_id in inboxes])):
        waiting = message(row)
        inboxes[waiting.run_id].append(waiting)
    return [Claim(run=run, messages=tuple(inboxes[run.run_id])) for run in found]


def _claimed_before(incarnation: str, attempt: Attempt) -> Transaction[list[RunRecord]]:
    """Runs that an earlier attempt, of which no answer came, made this worker's."""
    if not attempt.claimed:
        return []
    rows = yield from fetch_list(_RUNS, [(run_id,) for run_id in attempt.claimed])
    found = {run.run_id: run for run in map(run_record, rows)}
    return [
        found[run_id]
        for run_id, epoch in attempt.claimed.items()
        if run_id in found and found[run_id].owner == incarnation and found[run_id].epoch == epoch
    ]


def _claim(incarnation: str, due: Sequence[Row]) -> Transaction[list[RunRecord]]:
    """Write the worker into runs that are its own from now on; `due` is from `due_runs`."""
    found = [(run_record(row[:-1]), row[-1]) for row in due]
    orphans = [(run.run_id,) for run, _ in found if run.orphaned_by is not None]
    lengths: dict[str, int] = {row[0]: row[1] for row in (yield from fetch_list(_LENGTHS, orphans))}
    claimed: list[RunRecord] = []
    values: list[tuple[object, ...]] = []
    for run, claim_head in found:
        head_seq = lengths.get(run.run_id, 0)
        columns = claimed_columns(run, incarnation, head_seq=head_seq, claim_head=claim_head)
        new_head = claim_head if run.orphaned_by is None else head_seq
        mine = with_columns(run, columns)
        claimed.append(mine)
        values.append((mine.owner, mine.epoch, mine.claims, new_head, mine.run_id))
    yield from execute_many(_CLAIM, values)
    return claimed


class Wanted(msgspec.Struct, frozen=True):
    """Which runs a worker could execute."""

    namespace: str
    task_queues: tuple[str, ...]
    workflow_types: tuple[str, ...] | None

    @property
    def is_nothing(self) -> bool:
        """Whether no run can match."""
        return not self.task_queues or self.workflow_types == ()

    def parameters(self) -> dict[str, object]:
        """Values of the statements below."""
        values: dict[str, object] = {"namespace": self.namespace}
        values.update({f"queues_{n}": name for n, name in enumerate(self.task_queues, 1)})
        values.update({f"types_{n}": name for n, name in enumerate(self.workflow_types or (), 1)})
        return values


def due_runs(wanted: Wanted) -> Statement:
    """The most overdue runs up to `until`, at most `count`, each with its `claim_head` behind its columns.

    Rows that another worker is claiming are passed over.
    """
    return _due_runs(len(wanted.task_queues), _count(wanted.workflow_types))


def next_wake(wanted: Wanted) -> Statement:
    """The earliest `wake_at`, one row with NULL when there is none."""
    return _next_wake(len(wanted.task_queues), _count(wanted.workflow_types))


def _count(names: Sequence[str] | None) -> int | None:
    return None if names is None else len(names)


@functools.lru_cache(maxsize=256)
def _due_runs(queues: int, types: int | None) -> Statement:
    statement = (
        select(*RUN_COLUMNS, runs.c.claim_head)
        .where(*_wanted(queues, types), runs.c.wake_at <= parameter("until"))
        .order_by(runs.c.wake_at, runs.c.run_id)
        .limit(parameter("count"))
        .with_for_update(skip_locked=True)
    )
    return Statement("due runs", statement, writes=False)


@functools.lru_cache(maxsize=256)
def _next_wake(queues: int, types: int | None) -> Statement:
    return Statement(
        "next wake", select(func.min(runs.c.wake_at)).where(*_wanted(queues, types)), writes=False
    )


def _wanted(queues: int, types: int | None) -> list[ColumnElement[bool]]:
    conditions = [
        runs.c.namespace == parameter("namespace"),
        runs.c.wake_at.is_not(None),
        runs.c.task_queue.in_(parameters("queues", queues)),
    ]
    if types is not None:
        conditions.append(runs.c.workflow_type.in_(parameters("types", types)))
    return conditions
