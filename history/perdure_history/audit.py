"""Read-only questions to a store: does everything in it verify?"""

from collections.abc import AsyncIterator

import msgspec

from perdure_history.chain import Defect
from perdure_history.records import RunFilter, RunRecord, RunStatus
from perdure_history.store import RunStore
from perdure_history.verification import HistoryCheck


class VerifiedRun(msgspec.Struct, frozen=True):
    """One run and what is wrong with its history; nothing, if `defects` is empty."""

    run: RunRecord
    events: int
    defects: tuple[Defect, ...]


async def verify_all(store: RunStore, where: RunFilter, *, page: int = 1000) -> AsyncIterator[VerifiedRun]:
    """Verify every run that `where` admits, newest first, as it stands when its turn comes.

    Reads `page` runs or events at a time, each in a transaction of its own: no lock is held in between, and
    no run has to fit in memory. Runs that start meanwhile are not visited.
    """
    cursor: str | None = None
    while True:
        found = await store.list_runs(where, limit=page, cursor=cursor)
        for run in found.runs:
            yield await verify_run(store, run, page=page)
        cursor = found.cursor
        if cursor is None:
            return


async def verify_run(store: RunStore, run: RunRecord, *, page: int = 1000) -> VerifiedRun:
    """Verify one run's history, and that the run's summary says the same.

    A run that goes on meanwhile is fine: what is new is verified too.
    """
    check = HistoryCheck(run.run_id)
    seen = 0
    while rows := await store.read_history(run.run_id, after_seq=seen, limit=page):
        for row in rows:
            check.feed(row)
        seen = rows[-1].seq
    if run.status is RunStatus.RUNNING and check.closing_type is not None:
        # It may have closed since it was listed: ask again before calling that a defect.
        run = await store.find_run(run.namespace, run.workflow_id, run.run_id)
    defects = check.finish(run.status)
    if run.status is RunStatus.RUNNING and check.closing_type is not None:
        what = f"the history ends with {check.closing_type}, but the run's summary says that it is running"
        defects.append(Defect(run.run_id, seen, what))
    if run.history_length is not None and run.history_length != check.events:
        what = f"the run closed with {run.history_length} events, but its history has {check.events}"
        defects.append(Defect(run.run_id, seen, what))
    return VerifiedRun(run, check.events, tuple(defects))
