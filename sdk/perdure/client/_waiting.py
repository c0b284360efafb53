"""Waiting for runs to close: one listener and one look-out for all that a client waits for."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Sequence

from perdure._local import traffic_of
from perdure_history.errors import StoreClosedError, StoreError
from perdure_history.events import CLOSING_TYPES
from perdure_history.ids import RunId
from perdure_history.records import Change, ChangeKind, EventRow, RunFilter, RunStatus, decode_problem
from perdure_history.store import Store

_logger = logging.getLogger("perdure.client")
HANDOVER_SECONDS = 0.05
"""How long a worker beside us may take to hand over the end of a run, before the store is asked."""
AGAIN_SECONDS = 0.5
PAUSE_SECONDS = 0.001
"""For each run that is waited for, between two looks at all of them, however often others commit."""
LOOK_SECONDS = 5.0
"""How often runs that are waited for are looked at although nothing was heard."""


class ClosingWatch:
    """Waits for closing events of runs in one store, on one event loop.

    In-process news come through `LocalTraffic`; those of other processes as hints, upon which it looks. Runs
    whose code fails are reported in the log with their traceback, so that nobody waits in silence.
    """

    def __init__(self, store: Store, namespace: str) -> None:
        self._store = store
        self._namespace = namespace
        self._traffic = traffic_of(store)
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[str, asyncio.Future[EventRow]] = {}
        self._waiters: dict[str, int] = {}
        self._heard = asyncio.Event()
        self._suspects: set[str] = set()
        """Runs that may have closed."""
        self._task: asyncio.Task[None] | None = None
        self._told: set[tuple[str, str, str]] = set()
        self._next_pass: asyncio.TimerHandle | None = None
        """The next look at all, because others committed."""
        self._pass_from = 0.0
        """Not before this time of the loop."""

    async def close(self) -> None:
        """Stop looking; whoever still waits gets StoreClosedError."""
        self._give_up(StoreClosedError(self._store.url))
        if self._next_pass is not None:
            self._next_pass.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def closing(self, run_id: RunId) -> EventRow:
        """The event that closed the run, once it is recorded."""
        future = self._waiting.get(run_id)
        if future is None:
            future = self._waiting[run_id] = self._loop.create_future()
        self._waiters[run_id] = self._waiters.get(run_id, 0) + 1
        stop = self._traffic.on_close(run_id, self._closed_here)
        if self._task is None:
            # Listening begins here: what is told between the look below and the task's first step counts too.
            self._task = self._loop.create_task(self._look_out(self._store.subscribe(self._hear)))
        try:
            # Asked after `on_close`: whoever holds the run now hands its closing event over.
            if future.done():
                return future.result()
            if self._traffic.is_under_way(run_id):
                self._look_later((run_id,))
                return await asyncio.shield(future)
            row = await self._closing_row(run_id)
            return row if row is not None else await asyncio.shield(future)
        finally:
            stop()
            self._leave(run_id)

    def _leave(self, run_id: str) -> None:
        self._waiters[run_id] -= 1
        if not self._waiters[run_id]:
            del self._waiters[run_id], self._waiting[run_id]

    def _closed_here(self, run_id: str, row: EventRow) -> None:
        self._plan(lambda: self._settle(run_id, row))

    def _settle(self, run_id: str, row: EventRow) -> None:
        future = self._waiting.get(run_id)
        if future is not None and not future.done():
            future.set_result(row)

    async def _closing_row(self, run_id: str) -> EventRow | None:
        row = await self._store.last_event(RunId(run_id))
        return row if row is not None and row.type in CLOSING_TYPES else None

    # News of others

    def _hear(self, changes: Sequence[Change]) -> None:
        if any(change.kind is ChangeKind.FOREIGN for change in changes):
            self._plan(self._others_committed)
            return
        ended = [one.key for one in changes if one.kind is ChangeKind.CLOSED and one.key in self._waiting]
        if not ended:
            return
        if all(self._traffic.is_under_way(run_id) for run_id in ended):
            self._plan(lambda: self._look_later(ended))
        else:
            self._plan(lambda: self._look_at(ended))

    def _plan(self, call: Callable[[], None]) -> None:
        """Make the call on our loop; from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits there any more
            self._loop.call_soon_threadsafe(call)

    def _others_committed(self) -> None:
        """Look at all, now or as soon as the pause since the last such look is over."""
        if self._next_pass is None:
            self._next_pass = self._loop.call_at(max(self._loop.time(), self._pass_from), self._pass)

    def _pass(self) -> None:
        self._next_pass = None
        self._pass_from = self._loop.time() + len(self._waiting) * PAUSE_SECONDS
        self._look_at_all()

    def _look_at_all(self) -> None:
        self._look_at(list(self._waiting))

    def _look_later(self, run_ids: Sequence[str]) -> None:
        """A worker beside us that ends a run hands the event over by itself. Look if it does not come.

        Someone else may have ended the run, and whoever holds it still not know that.
        """
        self._loop.call_later(HANDOVER_SECONDS, self._look_at, run_ids)

    def _look_at(self, run_ids: Iterable[str]) -> None:
        waiting = self._waiting
        self._suspects.update(
            run_id for run_id in run_ids if run_id in waiting and not waiting[run_id].done()
        )
        if self._suspects:
            self._heard.set()

    async def _look_out(self, stop: Callable[[], None]) -> None:
        try:
            while self._waiting or self._heard.is_set():
                try:
                    await self._look()
                except StoreClosedError as error:
                    self._give_up(error)
                    return
                except StoreError as error:
                    _logger.warning("looking after runs that are waited for: %s", error)
                    await asyncio.sleep(AGAIN_SECONDS)
                    self._look_at_all()
        finally:
            self._task = None
            stop()

    async def _look(self) -> None:
        """Look at the runs that may have closed, once there are any; at all after a while."""
        try:
            await asyncio.wait_for(self._heard.wait(), LOOK_SECONDS)
        except TimeoutError:
            await self._report_problems()
            self._look_at_all()
        self._heard.clear()
        suspects, self._suspects = self._suspects, set()
        for run_id in suspects:
            if run_id in self._waiting and (row := await self._closing_row(run_id)) is not None:
                self._settle(run_id, row)

    def _give_up(self, error: StoreClosedError) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(error)

    async def _report_problems(self) -> None:
        where = RunFilter(namespace=self._namespace, statuses=(RunStatus.RUNNING,), with_problem=True)
        for run in (await self._store.list_runs(where, limit=1000)).runs:
            if run.run_id not in self._waiting or run.problem is None:
                continue
            problem = decode_problem(run.problem)
            key = (run.run_id, problem.kind, problem.message)
            if key not in self._told:
                self._told.add(key)
                _logger.warning(
                    "run %s of workflow id %r does not move: %s: %s\n%s",
                    run.run_id,
                    run.workflow_id,
                    problem.kind,
                    problem.message,
                    problem.traceback,
                )
