"""MissedRuns: finds runs that the store gave to this worker while it did not hear of it.

A hint may be lost between the commit that gives a run into a worker's hands and the worker hearing of it; then
nobody else would ever attend to the run. Looked for with each heartbeat: one count, as a rule.
"""

from collections.abc import Callable

from perdure.worker._holdings import Holdings
from perdure.worker._identity import WorkerIdentity
from perdure_history.records import Claim, RunFilter, RunStatus
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
    ) -> None:
        self._store = store
        self._me = me
        self._holdings = holdings
        self._namespace = namespace
        self._take = take
        self._departed: set[str] | None = None
        """Runs that left while a look is under way."""

    def departed(self, run_id: str) -> None:
        """The run is no longer held."""
        if self._departed is not None:
            self._departed.add(run_id)

    async def look(self) -> bool:
        """Take what was missed; False when there was nothing, or when a look is under way."""
        if self._departed is not None:
            return False
        departed = self._departed = set()
        try:
            return await self._look(departed)
        finally:
            self._departed = None

    async def _look(self, departed: set[str]) -> bool:
        mine = RunFilter(namespace=self._namespace, statuses=(RunStatus.RUNNING,), owner=self._me.incarnation)
        if sum((await self._store.count_runs(mine)).values()) <= len(self._holdings):
            return False
        cursor: str | None = None
        found = False
        while True:
            page = await self._store.list_runs(mine, limit=_PAGE, cursor=cursor)
            for run in page.runs:
                # One that left meanwhile was read before it did, and may be another worker's by now.
                if run.run_id not in self._holdings and run.run_id not in departed:
                    found = True
                    self._take(Claim(run=run, messages=()))
            cursor = page.cursor
            if cursor is None:
                return found
