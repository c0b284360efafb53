"""What a store decides, as pure functions of what it read: written once for every store.

A store reads rows inside its transaction, asks here, and writes what the answer says. Nothing here does I/O.
"""

import enum
from collections.abc import Sequence
from typing import Any

import msgspec

from perdure_history.errors import RunAlreadyExistsError
from perdure_history.events import CLOSING_TYPES
from perdure_history.records import (
    EventRow,
    IdConflictPolicy,
    IdReusePolicy,
    RunRecord,
    RunStatus,
    StartRun,
    TurnCommit,
    Verdict,
)

DUE_NOW = 0
"""The `wake_at` of a run that wants attention at once, whatever the clock says."""

_REUSABLE_AFTER_FAILURE = frozenset(
    (RunStatus.FAILED, RunStatus.CANCELED, RunStatus.TERMINATED, RunStatus.TIMED_OUT)
)


class StartDecision(enum.Enum):
    """What the id policies say about a start."""

    CREATE = "create"
    USE_EXISTING = "use existing"
    """Give back the newest run, which is open; write nothing."""
    TERMINATE_AND_CREATE = "terminate and create"
    """Terminate the newest run, which is open, and insert the new one in the same transaction."""


def decide_start(start: StartRun, newest: RunRecord | None) -> StartDecision:
    """Say what becomes of `start`, given the newest run of its workflow id.

    Look for a run with the same request id first: policies do not concern a request that was granted before.
    Raises RunAlreadyExistsError.
    """
    if newest is None:
        return StartDecision.CREATE
    if newest.status is RunStatus.RUNNING:
        if (
            start.id_reuse_policy is IdReusePolicy.TERMINATE_IF_RUNNING
            or start.id_conflict_policy is IdConflictPolicy.TERMINATE_EXISTING
        ):
            return StartDecision.TERMINATE_AND_CREATE
        if start.id_conflict_policy is IdConflictPolicy.USE_EXISTING:
            return StartDecision.USE_EXISTING
    elif start.id_reuse_policy in (IdReusePolicy.ALLOW_DUPLICATE, IdReusePolicy.TERMINATE_IF_RUNNING) or (
        start.id_reuse_policy is IdReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY
        and newest.status in _REUSABLE_AFTER_FAILURE
    ):
        return StartDecision.CREATE
    raise RunAlreadyExistsError(start.workflow_id, start.workflow_type, newest.run_id, newest.status)


def new_run(start: StartRun, *, nth: int, owner_is_live: bool) -> RunRecord:
    """The summary row of a run that is being started.

    Taken at once by a live owner it counts as claimed (epoch 1); otherwise it is due now.
    """
    owner = start.owner if owner_is_live else None
    return RunRecord(
        run_id=start.run_id,
        namespace=start.namespace,
        workflow_id=start.workflow_id,
        nth=nth,
        workflow_type=start.workflow_type,
        task_queue=start.task_queue,
        status=RunStatus.RUNNING,
        started_at=start.first_event.recorded_at,
        request_id=start.request_id,
        owner=owner,
        epoch=1 if owner is not None else 0,
        wake_at=None if owner is not None else DUE_NOW,
        memo=start.memo,
        search_attributes=start.search_attributes,
    )


def claimed_columns(
    run: RunRecord, incarnation: str, *, head_seq: int, claim_head: int | None
) -> dict[str, Any]:
    """The columns that a claim of `run` writes, with their new values.

    `claim_head` is the head at the last claim that followed a death (None: there was none); the store keeps
    it, writes `head_seq` there when the run is orphaned, and shows it to nobody. So `claims` counts how often
    the run was taken from a dead worker without having moved: a run that kills its workers is told by it.
    """
    orphaned = run.orphaned_by is not None
    claims = (run.claims + 1 if claim_head == head_seq else 1) if orphaned else 0
    return {"owner": incarnation, "epoch": run.epoch + 1, "wake_at": None, "claims": claims}


def closes(member: TurnCommit) -> bool:
    """Whether this commit ends its run."""
    update = member.update
    return update is not None and update.status is not None and update.status is not RunStatus.RUNNING


def judge(
    member: TurnCommit,
    incarnation: str,
    *,
    owner: str | None,
    head: EventRow | None,
    at_its_place: EventRow | None,
    has_unread: bool,
) -> tuple[Verdict, bool]:
    """The verdict on one member of a batch, and whether it is still to be written.

    `owner` and `head` are those of its run as the members before it in the batch leave them; `at_its_place`
    is the recorded event with the seq of the member's last row; `has_unread` says whether the run's inbox
    holds a message that the member does not take.
    """
    if member.rows and _landed(member, head, at_its_place):
        return Verdict.COMMITTED, False
    if head is None or head.seq != member.prev_seq or head.hash != member.prev_hash:
        return Verdict.STALE, False
    if head.type in CLOSING_TYPES:
        return Verdict.STALE, False
    update = member.update
    if update is None:
        return Verdict.COMMITTED, True
    if owner != incarnation:
        return Verdict.STALE, False
    if has_unread and not member.ignore_unread and (update.release or closes(member)):
        return Verdict.UNREAD, False
    return Verdict.COMMITTED, True


def _landed(member: TurnCommit, head: EventRow | None, at_its_place: EventRow | None) -> bool:
    """Whether the member's rows are in the history already.

    A hash covers everything before it, so one row answers for all. Only a close over unread messages does not
    stand at its own place: notes came before it.
    """
    last = member.rows[-1]
    if at_its_place is not None and at_its_place.hash == last.hash:
        return True
    return (
        member.ignore_unread
        and head is not None
        and head.seq > last.seq
        and (head.type, head.turn, head.recorded_at) == (last.type, last.turn, last.recorded_at)
        and (head.actor, head.attributes) == (last.actor, last.attributes)
        and closes(member)
    )


def changed_columns(member: TurnCommit, rows: Sequence[EventRow]) -> dict[str, Any]:
    """The columns of `perdure_runs` that a landing member writes, with their new values; often none.

    `rows` are what it really appends (see `endings.closing_rows`). Any: the values are those of RunRecord's
    fields, which the caller writes by name.
    """
    update = member.update
    if update is None:
        return {}
    if closes(member):
        return closed_columns(update.status, rows[-1])
    columns: dict[str, Any] = {}
    if update.release:
        columns["owner"] = None
        columns["wake_at"] = update.wake_at
    if update.release or update.set_problem:
        columns["problem"] = update.problem
    if update.clear_orphaned:
        columns["orphaned_by"] = None
    return columns


def closed_columns(status: RunStatus | None, last: EventRow) -> dict[str, Any]:
    """The columns of a run that ends with the event `last`: final, and out of every polling index."""
    return {
        "status": status,
        "closed_at": last.recorded_at,
        "owner": None,
        "wake_at": None,
        "orphaned_by": None,
        "problem": None,
        "history_length": last.seq,
    }


def with_columns(run: RunRecord, columns: dict[str, Any]) -> RunRecord:
    """`run` with some columns changed."""
    return msgspec.structs.replace(run, **columns) if columns else run
