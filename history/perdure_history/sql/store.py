"""SqlStore: the store contract on an SQLite file.

Writes go to the file's committer, which groups them; reads go to connections of their own. What a write does
stands in `runs`, `turns` and `workers` as transactions, what a read asks in `queries`; this class only hands
on. A crash loses nothing that a method has returned.
"""

import os
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, cast

from perdure_history.clock import wall_clock
from perdure_history.errors import ForkedStoreError, RunNotFoundError, StoreClosedError, StoreUnavailableError
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
from perdure_history.listing import cursor_after
from perdure_history.records import (
    Change,
    Claim,
    EventRow,
    HeldLock,
    Message,
    RunFilter,
    RunPage,
    RunRecord,
    SendMessage,
    StartOutcome,
    StartRun,
    TerminateRun,
    TurnCommit,
    Verdict,
    WorkerRecord,
)
from perdure_history.sql import queries, runs, workers
from perdure_history.sql.dialect import Dialect
from perdure_history.sql.files import FILES, DatabaseFile
from perdure_history.sql.readers import Readers
from perdure_history.sql.rows import event_row, run_record, worker_record
from perdure_history.sql.statements import Row, Statement
from perdure_history.store import Listener


class SqlStore:
    """An open store; make one with `open_sqlite`. See `store.Store` for what its methods promise."""

    def __init__(
        self, file: DatabaseFile, dialect: Dialect, *, url: str, clock: Callable[[], int] = wall_clock
    ) -> None:
        self._file = file
        self._committer = file.committer
        self._readers = Readers(file.committer.path, dialect)
        self._url = url
        self._clock = clock
        self._pid = os.getpid()
        self._closed = False
        self._unsubscribe: list[Callable[[], None]] = []
        self._forget_exit = FILES.call_at_exit(self._readers.abandon)

    @property
    def url(self) -> str:
        """The address of the file."""
        return self._url

    def now(self) -> int:
        """This machine's wall clock."""
        return self._clock()

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Tell `listener` on the committer's thread, of other processes' commits too."""
        self._check_open()
        stop = self._committer.subscribe(listener)
        self._unsubscribe.append(stop)
        return stop

    async def close(self) -> None:
        """Give the connections back; the last store of the process on a file also closes the file."""
        if self._closed:
            return
        if self._pid != os.getpid():
            raise ForkedStoreError(self._url)
        self._closed = True
        self._forget_exit()
        for stop in self._unsubscribe:
            stop()
        await self._readers.close()
        await FILES.give_back(self._file)

    # Clients

    async def start_run(self, start: StartRun) -> StartOutcome:
        """Group the start with what else waits; see RunStore."""
        check_start(start)
        return cast(StartOutcome, await self._write(lambda changes: runs.start_run(start, changes)))

    async def send_message(self, message: SendMessage) -> RunId:
        """Put the message into the inbox table; see RunStore."""
        check_message(message)
        return cast(RunId, await self._write(lambda changes: runs.send_message(message, changes)))

    async def terminate_run(self, request: TerminateRun) -> RunId:
        """End the run in one transaction; see RunStore."""
        check_termination(request)
        return cast(RunId, await self._write(lambda changes: runs.terminate_run(request, changes)))

    async def find_run(self, namespace: str, workflow_id: str, run_id: RunId | None = None) -> RunRecord:
        """Read one row."""
        check_target(namespace, workflow_id, run_id)
        values = {"namespace": namespace, "workflow_id": workflow_id}
        if run_id is None:
            found = await self._read(runs.NEWEST_RUN, values)
        else:
            found = await self._read(runs.NAMED_RUN, values | {"run_id": run_id})
        if not found:
            raise RunNotFoundError(namespace, workflow_id, run_id)
        return run_record(found[0])

    async def list_runs(self, where: RunFilter, *, limit: int = 100, cursor: str | None = None) -> RunPage:
        """Read one page and one row more."""
        check_filter(where)
        found = await self._read(*queries.list_runs(where, limit=limit, cursor=cursor))
        page = [run_record(row) for row in found[:limit]]
        return RunPage(tuple(page), cursor_after(page[-1]) if len(found) > len(page) > 0 else None)

    async def count_runs(self, where: RunFilter) -> dict[str, int]:
        """Count in the database."""
        check_filter(where)
        return {row[0]: row[1] for row in await self._read(*queries.count_runs(where))}

    async def read_history(
        self, run_id: RunId, *, after_seq: int = 0, limit: int | None = None
    ) -> list[EventRow]:
        """Read by the key (run id, seq)."""
        check_text("run id", run_id)
        return [event_row(row) for row in await self._read(*queries.history_of(run_id, after_seq, limit))]

    async def last_event(self, run_id: RunId) -> EventRow | None:
        """Read the row with the greatest seq."""
        check_text("run id", run_id)
        found = await self._read(runs.HEAD, {"run_id": run_id})
        return event_row(found[0]) if found else None

    # Workers

    async def hold_lock(self, incarnation: str) -> HeldLock:
        """Lock a file beside the database; see `liveness`."""
        self._check_open()
        return self._file.locks.hold(incarnation)

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
        attempt = workers.Attempt()
        return cast(int, await self._write(lambda _: workers.beat(incarnation, attempt)))

    async def list_workers(self, *, state: str | None = "live") -> list[WorkerRecord]:
        """Read the workers in this state."""
        return [worker_record(row) for row in await self._read(*queries.workers_in(state))]

    async def bury_worker(self, incarnation: str, *, beat: int) -> int | None:
        """Mark a worker dead that did not beat since; see WorkStore."""
        attempt = workers.Attempt()
        return cast(
            int | None,
            await self._write(lambda changes: workers.bury_worker(incarnation, beat, changes, attempt)),
        )

    async def retire_worker(self, incarnation: str) -> int:
        """Mark the worker dead at its own wish, and remove its lock file."""
        attempt = workers.Attempt()
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
        attempt = workers.Attempt()
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

    async def commit_turns(self, incarnation: str, batch: Sequence[TurnCommit]) -> list[Verdict]:
        """Group the turns with what else waits; see WorkStore."""
        self._check_open()
        check_batch(batch)
        return await self._committer.commit_turns(incarnation, batch)

    # Any: each transaction has a result of its own type.
    async def _write(self, make: Callable[[list[Change]], Any]) -> Any:
        self._check_open()
        return await self._committer.run(make)

    async def _read(self, statement: Statement, values: dict[str, Any]) -> list[Row]:
        self._check_open()
        try:
            return await self._readers.fetch(statement, values)
        except sqlite3.Error as error:
            raise StoreUnavailableError(self._url, f"{error}. Reading again is always safe") from error

    def _check_open(self) -> None:
        if self._pid != os.getpid():
            raise ForkedStoreError(self._url)
        if self._closed:
            raise StoreClosedError(self._url)


def _wanted(
    namespace: str, task_queues: Sequence[str], workflow_types: Sequence[str] | None
) -> workers.Wanted:
    types = None if workflow_types is None else tuple(workflow_types)
    return workers.Wanted(namespace, tuple(task_queues), types)
