"""Runs and events as JSON: the stable keys that programs read."""

from typing import Any

import msgspec

from perdure.cli._output import iso
from perdure.cli._steps import Step, Timeline
from perdure_history.records import EventRow, RunRecord, RunStatus, TurnProblem


def problem_of(run: RunRecord) -> TurnProblem | None:
    """Why the run does not move; None when nothing is wrong with it."""
    return None if run.problem is None else msgspec.json.decode(run.problem, type=TurnProblem)


def reason_of_end(status: RunStatus, failure: str) -> str:
    """Why a run did not complete, to be said after its status: without the status, if the failure begins with it."""
    if status not in {RunStatus.CANCELED, RunStatus.TERMINATED}:
        return failure
    return failure.removeprefix(status.value).removeprefix(": ")


def run_json(run: RunRecord) -> dict[str, Any]:
    """The summary of a run."""
    problem = problem_of(run)
    return {
        "workflow_id": run.workflow_id,
        "run_id": run.run_id,
        "nth": run.nth,
        "workflow_type": run.workflow_type,
        "task_queue": run.task_queue,
        "namespace": run.namespace,
        "status": run.status.value,
        "started_at": iso(run.started_at),
        "closed_at": iso(run.closed_at),
        "owner": run.owner,
        "wake_at": iso(run.wake_at or None),
        "due_at_once": run.wake_at == 0,
        "history_length": run.history_length,
        "parent_run_id": run.parent_run_id,
        "problem": None if problem is None else problem_json(problem),
    }


def problem_json(problem: TurnProblem) -> dict[str, Any]:
    """Why a run does not move."""
    return {
        "kind": problem.kind,
        "message": problem.message,
        "traceback": problem.traceback,
        "attempts": problem.attempts,
        "first_at": iso(problem.first_at or None),
        "next_at": iso(problem.next_at or None),
    }


def event_json(row: EventRow) -> dict[str, Any]:
    """One event; `attributes` as they are stored."""
    return {
        "seq": row.seq,
        "turn": row.turn,
        "type": row.type,
        "recorded_at": iso(row.recorded_at),
        "actor": row.actor,
        "attributes": msgspec.Raw(row.attributes.encode()),
        "hash": row.hash.hex(),
    }


def step_json(step: Step) -> dict[str, Any]:
    """One step of a timeline."""
    return {
        "seq": step.seq,
        "kind": step.kind,
        "name": step.name,
        "status": step.status,
        "began_at": iso(step.began_at),
        "ended_at": iso(step.ended_at),
        "duration_us": step.duration_us,
        "attempts": step.attempts,
        "due_at": iso(step.due_at),
        "input": list(step.input),
        "result": step.result,
        "failure": step.failure or None,
        "actor": step.actor,
        "cancel_requested": step.cancel_requested,
        "failed_attempts": [
            {
                "number": attempt.number,
                "failure": attempt.failure,
                "ended_at": iso(attempt.ended_at),
                "next_at": iso(attempt.next_at),
                "lost_worker": attempt.lost_worker or None,
            }
            for attempt in step.failed_attempts
        ],
    }


def timeline_json(run: RunRecord, timeline: Timeline) -> dict[str, Any]:
    """A run with its steps: what `perdure show --json` prints."""
    return run_json(run) | {
        "input": list(timeline.input),
        "result": timeline.result,
        "failure": timeline.failure or None,
        "events": timeline.head_seq,
        "steps": [step_json(step) for step in timeline.steps.values()],
        "waits_for": [step.seq for step in timeline.waits_for()],
    }
