"""The store contract: what every place that keeps histories must do.

Three Protocols, each named for its reader. `memory.MemoryStore` is the reference: where this text is silent,
a store does what the memory store does. All methods are coroutines that may be called from any event loop of
the process; each write is one transaction, durable when the coroutine returns, and gives up with
StoreUnavailableError when the database does not answer in time (the write then did not happen, or is found by
asking again with the same request id, which is always safe).
"""

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from perdure_history.ids import RunId
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

Listener = Callable[[Sequence[Change]], None]
"""Called after each commit that concerns others, on any thread: it must only hand the news on."""


class RunStore(Protocol):
    """What a client needs: start runs, talk to them, look at them."""

    async def start_run(self, start: StartRun) -> StartOutcome:
        """Insert a run and its first event, as the id policies allow.

        Idempotent by request id. Policies are decided on the newest run of the workflow id: an open one
        first meets the conflict policy (TERMINATE_EXISTING, or the reuse policy TERMINATE_IF_RUNNING,
        appends WorkflowExecutionTerminated to it in the same transaction), a closed one the reuse policy.

        Raises RunAlreadyExistsError.
        """
        ...

    async def send_message(self, message: SendMessage) -> RunId:
        """Put a message into the inbox of an open run; give back which run.

        Idempotent by request id while the message waits; afterwards the run's owner drops the duplicate.
        If A's send returned before B's was called, A is taken first. An unowned run becomes due at once.

        Raises RunNotFoundError, RunClosedError.
        """
        ...

    async def terminate_run(self, request: TerminateRun) -> RunId:
        """Append WorkflowExecutionTerminated (chained, as its own note) and close the run, whoever owns it.

        Unread messages of the run are recorded before it as undelivered notes, never dropped.

        Raises RunNotFoundError, RunClosedError.
        """
        ...

    async def find_run(self, namespace: str, workflow_id: str, run_id: RunId | None = None) -> RunRecord:
        """The run with this run id, or the newest run of the workflow id.

        Raises RunNotFoundError.
        """
        ...

    async def list_runs(self, where: RunFilter, *, limit: int = 100, cursor: str | None = None) -> RunPage:
        """Runs that `where` admits, newest start first (ties by run id)."""
        ...

    async def count_runs(self, where: RunFilter) -> dict[str, int]:
        """Number of runs that `where` admits, by status; statuses without a run are absent."""
        ...

    async def read_history(
        self, run_id: RunId, *, after_seq: int = 0, limit: int | None = None
    ) -> list[EventRow]:
        """Events of the run with a greater seq, in order; empty when there are none (or no such run)."""
        ...

    async def last_event(self, run_id: RunId) -> EventRow | None:
        """The head of the run's history; None when there is no such run."""
        ...


class WorkStore(Protocol):
    """What a worker needs: hold a lease, claim runs, commit turns.

    Every transaction of a worker first checks that its row is live (the worker fence) and raises
    WorkerDeadError, having written nothing, when it is not.
    """

    async def hold_lock(self, incarnation: str) -> HeldLock:
        """Lock a file for as long as this process lives, so that others on this machine can prove its end.

        Call it before `register_worker` and put the answer into the worker's row. Retiring the worker and
        closing the store give the lock up. The answer is empty where a lock proves nothing (no such locks on
        this platform, a shared file system, a store without files): then the lease alone decides.
        """
        ...

    async def drop_lock(self, incarnation: str) -> None:
        """Give the lock of a worker of this process up that was declared dead; again: nothing happens."""
        ...

    async def proven_dead(self, workers: Sequence[WorkerRecord]) -> list[str]:
        """Incarnations among `workers` whose process has certainly ended; runs no statement.

        Often empty: absence says nothing. Bury those named with the beat that was read.
        """
        ...

    async def register_worker(self, worker: WorkerRecord) -> None:
        """Insert the worker's row, live. Runs with a problem become due, since this worker's code may be mended."""
        ...

    async def beat(self, incarnation: str) -> int:
        """Renew the lease: raise the worker's beat counter and give back the new value."""
        ...

    async def list_workers(self, *, state: str | None = "live") -> list[WorkerRecord]:
        """Workers in the given state (None: all), oldest first."""
        ...

    async def bury_worker(self, incarnation: str, *, beat: int) -> int | None:
        """Declare a worker dead, for ever, and free its runs; give back how many.

        Does nothing and gives back None when its beat is no longer `beat` or it is not live: the observer's
        evidence is stale. Freed runs are due at once, with `orphaned_by` naming the dead worker. Once this
        returned, nothing of the dead worker commits any more.
        """
        ...

    async def retire_worker(self, incarnation: str) -> int:
        """A worker's own orderly end: as `bury_worker`, but its runs are not orphaned (no attempt was lost)."""
        ...

    async def claim_runs(
        self,
        incarnation: str,
        *,
        task_queues: Sequence[str],
        workflow_types: Sequence[str] | None,
        namespace: str,
        limit: int,
    ) -> list[Claim]:
        """Take unowned open runs that are due, most overdue first; at most `limit`.

        `workflow_types` None takes any type. Each claim raises the run's epoch and sets `wake_at` to None.
        """
        ...

    async def next_wake(
        self, *, task_queues: Sequence[str], workflow_types: Sequence[str] | None, namespace: str
    ) -> int | None:
        """The earliest `wake_at` among runs that `claim_runs` could take now or later; None when there is none."""
        ...

    async def read_inbox(self, incarnation: str) -> list[Message]:
        """Messages of all runs that the worker holds, in order of acceptance. Read-only: taking is a commit."""
        ...

    def commit_turns(self, incarnation: str, batch: Sequence[TurnCommit]) -> Awaitable[list[Verdict]]:
        """The one atomic verb. It may be on its way before it is awaited; errors come from either. All members of `batch` that land share one transaction; one verdict each.

        A member lands if and only if the run's head is (prev_seq, prev_hash) and is not a closing event, the
        worker owns the run where the member has an `update` (a plain step does not look: the worker fence
        and the head decide), and it does not close or release the run over unread messages. One that does
        not land leaves no trace and costs the others nothing. Committing the same member twice gives
        COMMITTED both times and records it once: equal bytes at its place mean that it landed before.

        Raises WorkerDeadError (nothing landed), StoreUnavailableError (unknown: ask again with the same bytes).
        """
        ...


class Store(RunStore, WorkStore, Protocol):
    """A whole store, open."""

    @property
    def url(self) -> str:
        """The address, without secrets."""
        ...

    def now(self) -> int:
        """Store time in microseconds: never later than the store's own clock, so no timer fires early."""
        ...

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Tell `listener` of changes from now on; call what is given back to stop that."""
        ...

    async def close(self) -> None:
        """Give back threads, files and connections. Closing twice is harmless."""
        ...
