"""What workers ask of an SQL store. What a write does stands in `workers` and `turns`."""

from collections.abc import Awaitable, Sequence
from typing import cast

from perdure_history.limits import check_batch, check_worker
from perdure_history.records import Claim, HeldLock, Message, TurnCommit, Verdict, WorkerRecord
from perdure_history.sql import queries, workers
from perdure_history.sql.access import SqlAccess
from perdure_history.sql.attempts import Attempt
from perdure_history.sql.rows import worker_record


class SqlWorkStore(SqlAccess):
    """`store.WorkStore` on a database."""

    async def hold_lock(self, incarnation: str) -> HeldLock:
        """Lock a file beside the database; see `liveness`."""
        self._check_open()
        return self._file.locks.hold(incarnation)

    async def drop_lock(self, incarnation: str) -> None:
        """Close and remove the file that `hold_lock` locked."""
        self._check_open()
        self._file.locks.release(incarnation)

    async def proven_dead(self, workers: Sequence[WorkerRecord]) -> list[str]:
        """Try the lock files of the workers; see `liveness`."""
        self._check_open()
        return self._file.locks.proven_dead(workers)

    async def register_worker(self, worker: WorkerRecord) -> None:
        """Insert the worker's row; again, while it is live: nothing happens."""
        check_worker(worker)
        await self._write(lambda changes: workers.register_worker(worker, changes))

    async def beat(self, incarnation: str) -> int:
        """Raise the worker's counter."""
        attempt = Attempt()
        return cast(int, await self._write(lambda _: workers.beat(incarnation, attempt)))

    async def list_workers(self, *, state: str | None = "live") -> list[WorkerRecord]:
        """Read the workers in this state."""
        return [worker_record(row) for row in await self._read(*queries.workers_in(state))]

    async def bury_worker(self, incarnation: str, *, beat: int) -> int | None:
        """Mark a worker dead that did not beat since; see WorkStore."""
        attempt = Attempt()
        freed = await self._write(lambda changes: workers.bury_worker(incarnation, beat, changes, attempt))
        if freed is not None:
            self._file.locks.forget(incarnation)
        return cast(int | None, freed)

    async def retire_worker(self, incarnation: str) -> int:
        """Mark the worker dead at its own wish, and remove its lock file."""
        attempt = Attempt()
        freed = await self._write(lambda changes: workers.retire_worker(incarnation, changes, attempt))
        self._file.locks.release(incarnation)
        return cast(int, freed)

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
        wanted = _wanted(namespace, task_queues, workflow_types)
        attempt = Attempt()
        now = self._clock()
        claims = await self._write(
            lambda _: workers.claim_runs(incarnation, wanted, attempt, until=now, limit=limit)
        )
        return cast(list[Claim], claims)

    async def next_wake(
        self, *, task_queues: Sequence[str], workflow_types: Sequence[str] | None, namespace: str
    ) -> int | None:
        """Read the first entry of an index."""
        wanted = _wanted(namespace, task_queues, workflow_types)
        if wanted.is_nothing:
            self._check_open()
            return None
        found = await self._read(workers.next_wake(wanted), wanted.parameters())
        return cast(int | None, found[0][0])

    async def read_inbox(self, incarnation: str) -> list[Message]:
        """Read the worker's row and its messages in one statement."""
        found = await self._read(queries.INBOX_OF_WORKER, {"incarnation": incarnation})
        return queries.messages_of(incarnation, found)

    def commit_turns(self, incarnation: str, batch: Sequence[TurnCommit]) -> Awaitable[list[Verdict]]:
        """Group the turns with what else waits; see WorkStore."""
        self._check_open()
        check_batch(batch)
        return self._committer.commit_turns(incarnation, batch)


def _wanted(
    namespace: str, task_queues: Sequence[str], workflow_types: Sequence[str] | None
) -> workers.Wanted:
    types = None if workflow_types is None else tuple(workflow_types)
    return workers.Wanted(namespace, tuple(task_queues), types)
