"""What clients and workers of one store in one process tell each other without asking the database.

Only short cuts: everything here also stands in the store, where it is found when the short cut is missed.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Protocol
from weakref import WeakKeyDictionary

from perdure_history.payloads import Payload
from perdure_history.records import EventRow, StartRun
from perdure_history.store import Store
from perdure_replayer.definition import WorkflowDefinition

_logger = logging.getLogger("perdure")
KEPT_STARTS = 10_000
KEPT_SECONDS = 60.0
"""Starts beyond these bounds are forgotten, oldest first: their worker stopped, or reads them back."""


class LocalWorker(Protocol):
    """A worker as clients of the same process see it. Any thread may call it."""

    namespace: str
    task_queue: str

    @property
    def incarnation(self) -> str: ...

    def would_take(self, workflow_type: str) -> bool:
        """Whether a run of this type may be started into its hands."""
        ...

    def definition(self, workflow_type: str) -> WorkflowDefinition | None:
        """The workflow of this name, if it is registered there."""
        ...

    def holds(self, run_id: str) -> bool:
        """Whether the run is in its hands now."""
        ...

    async def query(self, run_id: str, name: str, arguments: Sequence[Payload]) -> Payload | None:
        """The answer from the run in memory; None when it is not held here."""
        ...


class LocalTraffic:
    """The traffic of one store. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._workers: tuple[LocalWorker, ...] = ()
        self._starts: OrderedDict[str, tuple[StartRun, float]] = OrderedDict()
        """With the time each was kept at, oldest first."""
        self._waiters: dict[str, tuple[Callable[[str, EventRow], None], ...]] = {}

    @property
    def workers(self) -> tuple[LocalWorker, ...]:
        """Workers that are running, oldest first."""
        return self._workers

    def join(self, worker: LocalWorker) -> Callable[[], None]:
        """Let clients see a running worker; call what is given back when it stops."""
        with self._lock:
            self._workers = (*self._workers, worker)

        def leave() -> None:
            with self._lock:
                self._workers = tuple(one for one in self._workers if one is not worker)

        return leave

    def worker_for(self, namespace: str, task_queue: str, workflow_type: str) -> LocalWorker | None:
        """A worker that takes a new run at once, which saves the transaction of a claim."""
        for worker in self._workers:
            if (worker.namespace, worker.task_queue) == (namespace, task_queue) and worker.would_take(
                workflow_type
            ):
                return worker
        return None

    def expect_start(self, start: StartRun) -> None:
        """Keep what is being inserted, so that the worker need not read it back."""
        now = self._clock()
        starts = self._starts
        with self._lock:
            starts[start.run_id] = start, now
            # Nobody takes those whose worker stopped before it heard of them.
            while len(starts) > KEPT_STARTS or next(iter(starts.values()))[1] < now - KEPT_SECONDS:
                starts.popitem(last=False)

    def take_start(self, run_id: str) -> StartRun | None:
        """What was kept for this run, once."""
        with self._lock:
            kept = self._starts.pop(run_id, None)
        return None if kept is None else kept[0]

    def is_under_way(self, run_id: str) -> bool:
        """Whether a worker here holds the run, or is about to: what closes it will be told to `on_close`."""
        return run_id in self._starts or any(worker.holds(run_id) for worker in self._workers)

    def on_close(self, run_id: str, callback: Callable[[str, EventRow], None]) -> Callable[[], None]:
        """Call back, on any thread, with the run id and the closing event of a run that a worker here closes."""
        with self._lock:
            self._waiters[run_id] = (*self._waiters.get(run_id, ()), callback)

        def stop() -> None:
            with self._lock:
                rest = tuple(one for one in self._waiters.get(run_id, ()) if one is not callback)
                if rest:
                    self._waiters[run_id] = rest
                else:
                    self._waiters.pop(run_id, None)

        return stop

    def closed(self, run_id: str, closing: EventRow) -> None:
        """A worker here closed this run."""
        for callback in self._waiters.get(run_id, ()):
            try:
                callback(run_id, closing)
            except Exception:  # one who waits must not keep the worker or the others from going on
                _logger.exception("telling of the end of run %s", run_id)


_by_store: WeakKeyDictionary[Store, LocalTraffic] = WeakKeyDictionary()
_lock = threading.Lock()


def traffic_of(store: Store) -> LocalTraffic:
    """The traffic of this store object, the same for all who hold it."""
    with _lock:
        traffic = _by_store.get(store)
        if traffic is None:
            traffic = _by_store[store] = LocalTraffic()
        return traffic
