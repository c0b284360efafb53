"""What clients ask of the memory store."""

from collections import Counter

from perdure_history.endings import MESSAGE_TYPES, is_repeated, termination_for, termination_rows
from perdure_history.errors import (
    RunAlreadyExistsError,
    RunClosedError,
)
from perdure_history.ids import RunId, check_text
from perdure_history.limits import (
    check_filter,
    check_message,
    check_start,
    check_target,
    check_termination,
)
from perdure_history.listing import admits, cursor_after, listing_key, parse_cursor
from perdure_history.memory.tables import MemoryTables
from perdure_history.policies import (
    DUE_NOW,
    StartDecision,
    closed_columns,
    decide_start,
    new_run,
    with_columns,
)
from perdure_history.records import (
    Change,
    ChangeKind,
    EventRow,
    Message,
    RunFilter,
    RunPage,
    RunRecord,
    RunStatus,
    SendMessage,
    StartOutcome,
    StartRun,
    TerminateRun,
)


class MemoryRunStore(MemoryTables):
    """`store.RunStore` over the tables."""

    async def start_run(self, start: StartRun) -> StartOutcome:
        """Insert the run unless its id policies forbid it; see RunStore."""
        check_start(start)
        with self._transaction() as changes:
            siblings = self._by_id.get((start.namespace, start.workflow_id), [])
            for run_id in siblings:
                run = self._runs[run_id]
                if run.request_id == start.request_id:
                    return StartOutcome(run_id=run_id, created=False, owner=run.owner)
            newest = self._runs[siblings[-1]] if siblings else None
            decision = decide_start(start, newest)
            if newest is not None and decision is StartDecision.USE_EXISTING:
                return StartOutcome(run_id=newest.run_id, created=False, owner=newest.owner)
            taken = self._runs.get(start.run_id)
            if taken is not None:
                raise RunAlreadyExistsError(
                    taken.workflow_id, taken.workflow_type, taken.run_id, taken.status
                )
            if newest is not None and decision is StartDecision.TERMINATE_AND_CREATE:
                self._terminate(newest, termination_for(start, newest), changes)
            run = new_run(start, nth=len(siblings) + 1, owner_is_live=self._is_live(start.owner))
            self._history[run.run_id] = [start.first_event]
            self._by_id.setdefault((run.namespace, run.workflow_id), []).append(run.run_id)
            self._put(run)
            changes.append(_arrival(run))
            return StartOutcome(run_id=run.run_id, created=True, owner=run.owner)

    async def send_message(self, message: SendMessage) -> RunId:
        """Append to the run's inbox, once per request id; see RunStore."""
        check_message(message)
        with self._transaction() as changes:
            run = self._find(message.namespace, message.workflow_id, message.run_id)
            if run.status is not RunStatus.RUNNING:
                raise RunClosedError(run.workflow_id, run.run_id, run.status, "send a message to")
            inbox = self._inbox.setdefault(run.run_id, [])
            if any(waiting.request_id == message.request_id for waiting in inbox):
                return run.run_id
            inbox.append(
                Message(
                    id=next(self._message_ids),
                    run_id=run.run_id,
                    type=message.type,
                    attributes=message.attributes,
                    request_id=message.request_id,
                    actor=message.actor,
                    sent_at=message.sent_at,
                )
            )
            if run.owner is None:
                self._put(with_columns(run, {"wake_at": DUE_NOW}))
                changes.append(Change(ChangeKind.STARTED, run.task_queue, run.run_id))
            else:
                changes.append(Change(ChangeKind.MESSAGE, run.owner, run.run_id))
            return run.run_id

    async def terminate_run(self, request: TerminateRun) -> RunId:
        """Close the run, its unread messages recorded first; asking again with the same request id is fine."""
        check_termination(request)
        with self._transaction() as changes:
            run = self._find(request.namespace, request.workflow_id, request.run_id)
            if run.status is not RunStatus.RUNNING:
                if is_repeated(request, self._history[run.run_id][-1]):
                    return run.run_id
                raise RunClosedError(run.workflow_id, run.run_id, run.status, "terminate")
            self._terminate(run, request, changes)
            return run.run_id

    async def find_run(self, namespace: str, workflow_id: str, run_id: RunId | None = None) -> RunRecord:
        """Look the run up by run id, or take the last of its workflow id."""
        check_target(namespace, workflow_id, run_id)
        with self._transaction():
            return self._find(namespace, workflow_id, run_id)

    async def list_runs(self, where: RunFilter, *, limit: int = 100, cursor: str | None = None) -> RunPage:
        """Sort all that the filter admits and cut a page; ValueError for a cursor that no page gave."""
        check_filter(where)
        before = parse_cursor(cursor) if cursor is not None else None
        with self._transaction():
            found = [
                run
                for run in self._runs.values()
                if admits(where, run) and (before is None or listing_key(run) < before)
            ]
        found.sort(key=listing_key, reverse=True)
        page = found[:limit]
        return RunPage(tuple(page), cursor_after(page[-1]) if len(found) > len(page) > 0 else None)

    async def count_runs(self, where: RunFilter) -> dict[str, int]:
        """Count all that the filter admits."""
        check_filter(where)
        with self._transaction():
            return dict(Counter(run.status.value for run in self._runs.values() if admits(where, run)))

    async def read_history(
        self, run_id: RunId, *, after_seq: int = 0, limit: int | None = None
    ) -> list[EventRow]:
        """Cut a slice of the run's events."""
        check_text("run id", run_id)
        first = max(after_seq, 0)
        with self._transaction():
            return self._history.get(run_id, [])[first : None if limit is None else first + limit]

    async def last_event(self, run_id: RunId) -> EventRow | None:
        """Give the last of the run's events."""
        check_text("run id", run_id)
        with self._transaction():
            return self._head(run_id)

    def _terminate(self, run: RunRecord, request: TerminateRun, changes: list[Change]) -> None:
        history = self._history[run.run_id]
        rows = termination_rows(
            request,
            history[-1],
            run_id=run.run_id,
            unread=self._inbox.pop(run.run_id, ()),
            recorded=(row for row in history if row.type in MESSAGE_TYPES),
        )
        history.extend(rows)
        self._put(with_columns(run, closed_columns(RunStatus.TERMINATED, rows[-1])))
        changes.append(Change(ChangeKind.CLOSED, run.run_id, run.run_id))


def _arrival(run: RunRecord) -> Change:
    if run.owner is not None:
        return Change(ChangeKind.ASSIGNED, run.owner, run.run_id)
    return Change(ChangeKind.STARTED, run.task_queue, run.run_id)
