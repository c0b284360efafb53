"""What workers ask of the memory store."""

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from perdure_history.endings import MESSAGE_TYPES, closing_rows
from perdure_history.limits import (
    check_batch,
    check_worker,
)
from perdure_history.memory.tables import MemoryTables
from perdure_history.policies import (
    changed_columns,
    claimed_columns,
    closes,
    judge,
    with_columns,
)
from perdure_history.records import (
    Change,
    ChangeKind,
    Claim,
    HeldLock,
    Message,
    RunRecord,
    RunStatus,
    TurnCommit,
    Verdict,
    WorkerRecord,
)


class MemoryWorkStore(MemoryTables):
    """`store.WorkStore` over the tables."""

    async def hold_lock(self, incarnation: str) -> HeldLock:
        """Nothing: who shares this store shares the process, and dies with it."""
        return HeldLock()

    async def drop_lock(self, incarnation: str) -> None:
        """Nothing: no lock is held."""

    async def proven_dead(self, workers: Sequence[WorkerRecord]) -> list[str]:
        """Nobody, for the same reason."""
        return []

    async def register_worker(self, worker: WorkerRecord) -> None:
        """Insert the worker's row; again, while it is live: nothing happens."""
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
        """Raise the worker's counter."""
        with self._transaction():
            worker = self._fence(incarnation)
            self._workers[incarnation] = msgspec.structs.replace(worker, beat=worker.beat + 1)
            return worker.beat + 1

    async def list_workers(self, *, state: str | None = "live") -> list[WorkerRecord]:
        """Sort the workers in this state by start, then incarnation."""
        with self._transaction():
            found = [worker for worker in self._workers.values() if state is None or worker.state == state]
        return sorted(found, key=lambda worker: (worker.started_at, worker.incarnation))

    async def bury_worker(self, incarnation: str, *, beat: int) -> int | None:
        """Mark a worker dead that did not beat since; see WorkStore."""
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
        """Mark the worker dead at its own wish; see WorkStore."""
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
        """Take due runs in order of `wake_at`, then run id; see WorkStore."""
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
                head_seq, claim_head = len(self._history[run_id]), self._claim_heads.get(run_id)
                columns = claimed_columns(run, incarnation, head_seq=head_seq, claim_head=claim_head)
                if run.orphaned_by is not None:
                    self._claim_heads[run_id] = head_seq
                run = with_columns(run, columns)
                self._put(run)
                claims.append(Claim(run=run, messages=tuple(self._inbox.get(run_id, ()))))
            return claims

    async def next_wake(
        self, *, task_queues: Sequence[str], workflow_types: Sequence[str] | None, namespace: str
    ) -> int | None:
        """The least `wake_at` of what could be claimed, now or later."""
        with self._transaction():
            wakes = (wake_at for wake_at, _ in self._claimable(task_queues, workflow_types, namespace))
            return min(wakes, default=None)

    async def read_inbox(self, incarnation: str) -> list[Message]:
        """Messages of all runs of this worker, by id."""
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
        """Judge and apply the members one after the other; see WorkStore."""
        check_batch(batch)
        with self._transaction() as changes:
            self._fence(incarnation)
            return [self._commit(incarnation, member, changes) for member in batch]

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
        rows = member.rows
        if closes(member):
            rows = closing_rows(
                member, unread=unread, recorded=(row for row in history if row.type in MESSAGE_TYPES)
            )
            self._inbox.pop(run.run_id, None)
        elif member.taken:
            self._inbox[run.run_id] = unread
        history.extend(rows)
        after = with_columns(run, changed_columns(member, rows))
        if after is not run:
            self._put(after)
        if after.status is not RunStatus.RUNNING:
            changes.append(Change(ChangeKind.CLOSED, run.run_id, run.run_id))
        elif after.wake_at is not None and after.wake_at <= self._clock():
            changes.append(Change(ChangeKind.STARTED, run.task_queue, run.run_id))
        return verdict
