"""MissedRuns: finds where the store and this worker differ about which runs it holds.

A hint may be lost between the commit that gives a run into a worker's hands and the worker hearing of it; then
nobody else would ever attend to the run. And another process may end a run that is held here, which a worker
that has nothing to commit for it would never hear of. Looked for with each heartbeat, and when others commit.
"""

from collections.abc import Callable

from perdure.worker._held_run import HeldRun
from perdure.worker._holdings import Holdings
from perdure.worker._identity import WorkerIdentity
from perdure_history.records import Claim, RunFilter, RunRecord, RunStatus
from perdure_history.store import RunStore

_PAGE = 1000


class MissedRuns:
    """Compares what the store says that this worker owns with what it holds."""

    def __init__(
        self,
        store: RunStore,
        me: WorkerIdentity,
        holdings: Holdings,
        *,
        namespace: str,
        take: Callable[[Claim], None],
        lost: Callable[[HeldRun], None],
    ) -> None:
        self._store = store
        self._me = me
        self._holdings = holdings
        self._namespace = namespace
        self._take = take
        self._lost = lost
        self._departed: set[str] | None = None
        """Runs that left while a look is under way."""

    def departed(self, run_id: str) -> None:
        """The run is no longer held."""
        if self._departed is not None:
            self._departed.add(run_id)

    async def look(self) -> bool:
        """Take what was missed, report what is lost; False when nothing was taken or a look is under way."""
        if self._departed is not None:
            return False
        departed = self._departed = set()
        try:
            return await self._look(departed)
        finally:
            self._departed = None

    async def _look(self, departed: set[str]) -> bool:
        incarnation = self._me.incarnation
        held = [run for run in self._holdings if _is_settled(run)]
        owned = await self._owned(incarnation)
        if self._me.incarnation != incarnation:
            return False
        # Held before the look began and still: nothing of this worker's own can have ended them meanwhile.
        lost = [
            run
            for run in held
            if run.run_id not in owned and self._holdings.get(run.run_id) is run and _is_settled(run)
        ]
        for run in lost:
            self._lost(run)
        # One that left meanwhile was read before it did, and may be another worker's by now.
        missed = [
            run for run in owned.values() if run.run_id not in self._holdings and run.run_id not in departed
        ]
        for record in missed:
            self._take(Claim(run=record, messages=()))
        return bool(missed)

    async def _owned(self, incarnation: str) -> dict[str, RunRecord]:
        mine = RunFilter(namespace=self._namespace, statuses=(RunStatus.RUNNING,), owner=incarnation)
        owned: dict[str, RunRecord] = {}
        cursor: str | None = None
        while True:
            page = await self._store.list_runs(mine, limit=_PAGE, cursor=cursor)
            owned.update((run.run_id, run) for run in page.runs)
            cursor = page.cursor
            if cursor is None:
                return owned


def _is_settled(run: HeldRun) -> bool:
    """Nothing is under way whose end will say by itself whether the run is still held."""
    return not (run.in_flight or run.loading or run.gone)
