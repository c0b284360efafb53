"""What clients ask of an SQL store. What a write does stands in `runs`, what a read asks in `queries`."""

from typing import cast

from perdure_history.errors import RunNotFoundError
from perdure_history.ids import RunId, check_text
from perdure_history.limits import check_filter, check_message, check_start, check_target, check_termination
from perdure_history.listing import cursor_after
from perdure_history.records import (
    EventRow,
    RunFilter,
    RunPage,
    RunRecord,
    SendMessage,
    StartOutcome,
    StartRun,
    TerminateRun,
)
from perdure_history.sql import queries, runs
from perdure_history.sql.access import SqlAccess
from perdure_history.sql.attempts import Attempt
from perdure_history.sql.rows import event_row, run_record


class SqlRunStore(SqlAccess):
    """`store.RunStore` on a database."""

    async def start_run(self, start: StartRun) -> StartOutcome:
        """Group the start with what else waits; see RunStore."""
        check_start(start)
        attempt = Attempt()
        return cast(StartOutcome, await self._write(lambda changes: runs.start_run(start, changes, attempt)))

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
