"""The memory store's tables, and what a transaction over them is.

Plain dicts and lists under one lock; any thread and any event loop may call. A method of the store is one
transaction because it holds the lock from its first look to its last write. Nothing survives the process.

    runs        run id -> RunRecord                  history   run id -> its events, seq 1 first
    by_id       (namespace, workflow id) -> run ids, nth 1 first
    inbox       run id -> waiting messages, in order of acceptance
    workers     incarnation -> WorkerRecord
"""

import itertools
import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager

from perdure_history.changes import Listeners
from perdure_history.clock import wall_clock
from perdure_history.errors import (
    RunNotFoundError,
    StoreClosedError,
    WorkerDeadError,
)
from perdure_history.ids import RunId
from perdure_history.policies import (
    DUE_NOW,
    with_columns,
)
from perdure_history.records import (
    Change,
    ChangeKind,
    EventRow,
    Message,
    RunRecord,
    WorkerRecord,
)


class MemoryTables:
    """State of one memory store, and the steps that its transactions share (called with the lock held)."""

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
        # How long a run's history was at its last claim after a death.
        self._claim_heads: dict[RunId, int] = {}
        # Unowned runs with a wake_at: an index, so that claims do not look at a million closed runs.
        self._waiting: set[RunId] = set()

    @contextmanager
    def _transaction(self) -> Generator[list[Change], None, None]:
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
        changes.extend(
            Change(ChangeKind.STARTED, queue) for queue in sorted({run.task_queue for run in runs})
        )
        return len(runs)
