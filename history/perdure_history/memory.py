"""MemoryStore: the reference implementation of the store contract. Read this one first.

It owns plain dicts and lists under one lock; any thread and any event loop may call it, and each method is one
transaction because it holds the lock from its first look to its last write. Nothing survives the process.
Where the contract's text is silent, what this store does is what every store does.

    runs        run id -> RunRecord                  history   run id -> its events, seq 1 first
    by_id       (namespace, workflow id) -> run ids, nth 1 first
    inbox       run id -> waiting messages, in order of acceptance
    workers     incarnation -> WorkerRecord
"""

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import msgspec

from perdure_history.changes import Listeners
from perdure_history.clock import wall_clock
from perdure_history.endings import MESSAGE_TYPES, is_repeated, termination_for, termination_rows
from perdure_history.errors import (
    RunAlreadyExistsError,
    RunClosedError,
    RunNotFoundError,
    StoreClosedError,
    WorkerDeadError,
)
from perdure_history.ids import RunId, check_text
from perdure_history.limits import (
    check_batch,
    check_filter,
    check_message,
    check_start,
    check_target,
    check_termination,
    check_worker,
)
from perdure_history.listing import admits, cursor_after, listing_key, parse_cursor
from perdure_history.policies import (
    DUE_NOW,
    StartDecision,
    changed_columns,
    closed_columns,
    decide_start,
    judge,
    new_run,
    with_columns,
)
from perdure_history.records import (
    Change,
    ChangeKind,
    Claim,
    EventRow,
    Message,
    RunFilter,
    RunPage,
    RunRecord,
    RunStatus,
    SendMessage,
    StartOutcome,
    StartRun,
    TerminateRun,
    TurnCommit,
    Verdict,
    WorkerRecord,
)
from perdure_history.store import Listener


class MemoryStore:
    """A store that lives and dies with its process; see `store.Store` for what its methods promise."""

    def __init__(self, url: str = "memory://", *, clock: Callable[[], int] = wall_clock) -> None:
        self._url = url
        self._clock = clock
        self._lock = threading.Lock()
        self._closed = False
        self._listeners = Listeners()
        self._message_ids = itertools.count(1)
        self._runs: dict[RunId, RunRecord] = {}
        self._history: dict[RunId, list[EventRow]] = {}
        self._by_id: dict[tuple[str, str], list[RunId]] = {}
        self._inbox: dict[RunId, list[Message]] = {}
        self._workers: dict[str, WorkerRecord] = {}
        # Unowned runs with a wake_at: an index, so that claims do not look at a million closed runs.
        self._waiting: set[RunId] = set()

    @property
    def url(self) -> str:
        return self._url

    def now(self) -> int:
        return self._clock()

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        return self._listeners.add(listener)

    async def close(self) -> None:
        with self._lock:
            self._closed = True

    # Clients

    async def start_run(self, start: StartRun) -> StartOutcome:
        check_start(start)
        with self._transaction() as changes:
            siblings = self._by_id.get((start.namespace, start.workflow_id), [])
            for run_id in siblings:
                run = self._runs[run_id]
                if run.request_id == start.request_id:
                    return StartOutcome(run_id=run_id, created=False, owner=run.owner)
            newest = self._runs[siblings[-1]] if siblings else None
            decision = decide_start(start, newest)
            if newest is not None and decision is StartDecision.USE_EXISTING:
                return StartOutcome(run_id=newest.run_id, created=False, owner=newest.owner)
            taken = self._runs.get(start.run_id)
            if taken is not None:
                raise RunAlreadyExistsError(taken.workflow_id, taken.workflow_type, taken.run_id, taken.status)
            if newest is not None and decision is StartDecision.TERMINATE_AND_CREATE:
                self._terminate(newest, termination_for(start, newest), changes)
            run = new_run(start, nth=len(siblings) + 1, owner_is_live=self._is_live(start.owner))
            self._history[run.run_id] = [start.first_event]
            self._by_id.setdefault((run.namespace, run.workflow_id), []).append(run.run_id)
            self._put(run)
            changes.append(_arrival(run))
            return StartOutcome(run_id=run.run_id, created=True, owner=run.owner)

    async def send_message(self, message: SendMessage) -> RunId:
        check_message(message)
        with self._transaction() as changes:
            run = self._find(message.namespace, message.workflow_id, message.run_id)
            if run.status is not RunStatus.RUNNING:
                raise RunClosedError(run.workflow_id, run.run_id, run.status, "send a message to")
            inbox = self._inbox.setdefault(run.run_id, [])
            if any(waiting.request_id == message.request_id for waiting in inbox):
                return run.run_id
            inbox.append(
                Message(
                    id=next(self._message_ids),
                    run_id=run.run_id,
                    type=message.type,
                    attributes=message.attributes,
                    request_id=message.request_id,
                    actor=message.actor,
                    sent_at=message.sent_at,
                )
            )
            if run.owner is None:
                self._put(with_columns(run, {"wake_at": DUE_NOW}))
                changes.append(Change(ChangeKind.STARTED, run.task_queue, run.run_id))
            else:
                changes.append(Change(ChangeKind.MESSAGE, run.owner, run.run_id))
            return run.run_id

    async def terminate_run(self, request: TerminateRun) -> RunId:
        check_termination(request)
        with self._transaction() as changes:
            run = self._find(request.namespace, request.workflow_id, request.run_id)
            if run.status is not RunStatus.RUNNING:
                if is_repeated(request, self._history[run.run_id][-1]):
                    return run.run_id
                raise RunClosedError(run.workflow_id, run.run_id, run.status, "terminate")
            self._terminate(run, request, changes)
            return run.run_id

    async def find_run(self, namespace: str, workflow_id: str, run_id: RunId | None = None) -> RunRecord:
        check_target(namespace, workflow_id, run_id)
        with self._transaction():
            return self._find(namespace, workflow_id, run_id)

    async def list_runs(self, where: RunFilter, *, limit: int = 100, cursor: str | None = None) -> RunPage:
        check_filter(where)
        before = parse_cursor(cursor) if cursor is not None else None
        with self._transaction():
            found = [
                run
                for run in self._runs.values()
                if admits(where, run) and (before is None or listing_key(run) < before)
            ]
        found.sort(key=listing_key, reverse=True)
        page = found[:limit]
        return RunPage(tuple(page), cursor_after(page[-1]) if len(found) > len(page) > 0 else None)

    async def count_runs(self, where: RunFilter) -> dict[str, int]:
        check_filter(where)
        with self._transaction():
            return dict(Counter(run.status.value for run in self._runs.values() if admits(where, run)))

    async def read_history(self, run_id: RunId, *, after_seq: int = 0, limit: int | None = None) -> list[EventRow]:
        check_text("run id", run_id)
        first = max(after_seq, 0)
        with self._transaction():
            return self._history.get(run_id, [])[first : None if limit is None else first + limit]

    async def last_event(self, run_id: RunId) -> EventRow | None:
        check_text("run id", run_id)
        with self._transaction():
            return self._head(run_id)

    # Workers

    async def register_worker(self, worker: WorkerRecord) -> None:
        check_worker(worker)
        with self._transaction() as changes:
            known = self._workers.get(worker.incarnation)
            if known is not None:
                self._fence(worker.incarnation)
                return
            self._workers[worker.incarnation] = msgspec.structs.replace(worker, state="live")
            stuck = [
                run
                for run in self._runs.values()
                if run.problem is not None and run.status is RunStatus.RUNNING and run.owner is None
            ]
            self._free(stuck, changes)

    async def beat(self, incarnation: str) -> int:
        with self._transaction():
            worker = self._fence(incarnation)
            self._workers[incarnation] = msgspec.structs.replace(worker, beat=worker.beat + 1)
            return worker.beat + 1

    async def list_workers(self, *, state: str | None = "live") -> list[WorkerRecord]:
        with self._transaction():
            found = [worker for worker in self._workers.values() if state is None or worker.state == state]
        return sorted(found, key=lambda worker: (worker.started_at, worker.incarnation))

    async def bury_worker(self, incarnation: str, *, beat: int) -> int | None:
        with self._transaction() as changes:
            worker = self._workers.get(incarnation)
            if worker is None or worker.state != "live" or worker.beat != beat:
                return None
            self._workers[incarnation] = msgspec.structs.replace(worker, state="dead")
            held = [run for run in self._runs.values() if run.owner == incarnation]
            # A run that lost two owners in a row keeps the first: the second had not yet noted what was lost
            # with it, so it cannot have started anything either.
            orphans = [with_columns(run, {"orphaned_by": run.orphaned_by or incarnation}) for run in held]
            return self._free(orphans, changes)

    async def retire_worker(self, incarnation: str) -> int:
        with self._transaction() as changes:
            worker = self._fence(incarnation)
            self._workers[incarnation] = msgspec.structs.replace(worker, state="dead")
            return self._free([run for run in self._runs.values() if run.owner == incarnation], changes)

    async def claim_runs(
        self,
        incarnation: str,
        *,
        task_queues: Sequence[str],
        workflow_types: Sequence[str] | None,
        namespace: str,
        limit: int,
    ) -> list[Claim]:
        with self._transaction():
            self._fence(incarnation)
            now = self._clock()
            due = [
                (wake_at, run.run_id)
                for wake_at, run in self._claimable(task_queues, workflow_types, namespace)
                if wake_at <= now
            ]
            due.sort()
            claims: list[Claim] = []
            for _, run_id in due[:limit]:
                run = self._runs[run_id]
                run = with_columns(run, {"owner": incarnation, "epoch": run.epoch + 1, "wake_at": None})
                self._put(run)
                claims.append(Claim(run=run, messages=tuple(self._inbox.get(run_id, ()))))
            return claims

    async def next_wake(
        self, *, task_queues: Sequence[str], workflow_types: Sequence[str] | None, namespace: str
    ) -> int | None:
        with self._transaction():
            wakes = (wake_at for wake_at, _ in self._claimable(task_queues, workflow_types, namespace))
            return min(wakes, default=None)

    async def read_inbox(self, incarnation: str) -> list[Message]:
        with self._transaction():
            self._fence(incarnation)
            found = [
                message
                for run_id, inbox in self._inbox.items()
                if self._runs[run_id].owner == incarnation
                for message in inbox
            ]
        return sorted(found, key=lambda message: message.id)

    async def commit_turns(self, incarnation: str, batch: Sequence[TurnCommit]) -> list[Verdict]:
        check_batch(batch)
        with self._transaction() as changes:
            self._fence(incarnation)
            return [self._commit(incarnation, member, changes) for member in batch]

    # Parts of transactions: called with the lock held

    @contextmanager
    def _transaction(self) -> Iterator[list[Change]]:
        """Hold the lock; afterwards tell the listeners what was put on the list that this gives."""
        changes: list[Change] = []
        with self._lock:
            if self._closed:
                raise StoreClosedError(self._url)
            yield changes
        self._listeners.tell(changes)

    def _fence(self, incarnation: str) -> WorkerRecord:
        """The worker fence: a missing row is as dead as a dead one."""
        worker = self._workers.get(incarnation)
        if worker is None or worker.state != "live":
            raise WorkerDeadError(incarnation)
        return worker

    def _is_live(self, incarnation: str | None) -> bool:
        worker = self._workers.get(incarnation) if incarnation is not None else None
        return worker is not None and worker.state == "live"

    def _find(self, namespace: str, workflow_id: str, run_id: RunId | None) -> RunRecord:
        siblings = self._by_id.get((namespace, workflow_id), [])
        if run_id is None and siblings:
            return self._runs[siblings[-1]]
        if run_id is None or run_id not in siblings:
            raise RunNotFoundError(namespace, workflow_id, run_id)
        return self._runs[run_id]

    def _head(self, run_id: RunId) -> EventRow | None:
        history = self._history.get(run_id)
        return history[-1] if history else None

    def _put(self, run: RunRecord) -> None:
        self._runs[run.run_id] = run
        if run.wake_at is None:
            self._waiting.discard(run.run_id)
        else:
            self._waiting.add(run.run_id)

    def _free(self, runs: Sequence[RunRecord], changes: list[Change]) -> int:
        """Make `runs` unowned and due now; listeners hear each task queue once."""
        for run in runs:
            self._put(with_columns(run, {"owner": None, "wake_at": DUE_NOW}))
        changes.extend(Change(ChangeKind.STARTED, queue) for queue in sorted({run.task_queue for run in runs}))
        return len(runs)

    def _claimable(
        self, task_queues: Iterable[str], workflow_types: Iterable[str] | None, namespace: str
    ) -> Iterator[tuple[int, RunRecord]]:
        queues, types = frozenset(task_queues), None if workflow_types is None else frozenset(workflow_types)
        for run_id in self._waiting:
            run = self._runs[run_id]
            if run.wake_at is None or run.namespace != namespace or run.task_queue not in queues:
                continue
            if types is None or run.workflow_type in types:
                yield run.wake_at, run

    def _terminate(self, run: RunRecord, request: TerminateRun, changes: list[Change]) -> None:
        history = self._history[run.run_id]
        rows = termination_rows(
            request,
            history[-1],
            run_id=run.run_id,
            unread=self._inbox.pop(run.run_id, ()),
            recorded=(row for row in history if row.type in MESSAGE_TYPES),
        )
        history.extend(rows)
        self._put(with_columns(run, closed_columns(RunStatus.TERMINATED, rows[-1])))
        changes.append(Change(ChangeKind.CLOSED, run.run_id, run.run_id))

    def _commit(self, incarnation: str, member: TurnCommit, changes: list[Change]) -> Verdict:
        run = self._runs.get(member.run_id)
        if run is None:
            return Verdict.STALE
        history = self._history[run.run_id]
        unread = [message for message in self._inbox.get(run.run_id, ()) if message.id not in member.taken]
        last_seq = member.prev_seq + len(member.rows)
        verdict, to_write = judge(
            member,
            incarnation,
            owner=run.owner,
            head=history[-1],
            at_its_place=history[last_seq - 1] if last_seq <= len(history) else None,
            has_unread=bool(unread),
        )
        if not to_write:
            return verdict
        history.extend(member.rows)
        if member.taken and unread:
            self._inbox[run.run_id] = unread
        elif member.taken:
            self._inbox.pop(run.run_id, None)
        after = with_columns(run, changed_columns(member))
        if after is not run:
            self._put(after)
        if after.status is not RunStatus.RUNNING:
            changes.append(Change(ChangeKind.CLOSED, run.run_id, run.run_id))
        elif after.wake_at is not None and after.wake_at <= self._clock():
            changes.append(Change(ChangeKind.STARTED, run.task_queue, run.run_id))
        return verdict


def _arrival(run: RunRecord) -> Change:
    if run.owner is not None:
        return Change(ChangeKind.ASSIGNED, run.owner, run.run_id)
    return Change(ChangeKind.STARTED, run.task_queue, run.run_id)
