"""How a run ended, read from its history: no code of the workflow is needed to know it."""

import asyncio
from dataclasses import dataclass
from typing import Any

from perdure.cli._exits import Exit
from perdure.cli._output import coloured, compact, escaped, remark, say, say_json
from perdure.cli._records import problem_of, reason_of_end
from perdure.cli._settings import Settings
from perdure.cli._steps import Timeline
from perdure.client import Client
from perdure_history.records import RunRecord, RunStatus
from perdure_history.store import RunStore

LOOK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a run."""

    run: RunRecord
    result: Any
    failure: str


async def wait_for_outcome(client: Client, run: RunRecord) -> Outcome:
    """The outcome of the run, as soon as it has one; meanwhile say on standard error if its code cannot go on."""
    timeline = Timeline()
    watching = asyncio.create_task(_say_problems(client.store, run))
    try:
        timeline.add([await client.closing(run.run_id)], run_id=run.run_id)
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    closed = await client.store.find_run(run.namespace, run.workflow_id, run.run_id)
    return Outcome(closed, timeline.result, timeline.failure)


async def _say_problems(store: RunStore, run: RunRecord) -> None:
    """Look once a second, since a run that is stuck may be mended and get stuck elsewhere."""
    said = ""
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        problem = problem_of(await store.find_run(run.namespace, run.workflow_id, run.run_id))
        if problem is not None and problem.message != said:
            said = problem.message
            remark(
                f"{problem.traceback}{escaped(run.workflow_id)} cannot go on: {problem.kind}: {problem.message}"
            )
            remark("It is tried again; mend the code and restart the worker. Still waiting.")


def say_outcome(settings: Settings, outcome: Outcome) -> Exit:
    """Print the result to standard output, a failure to standard error; give back the exit code."""
    completed = outcome.run.status is RunStatus.COMPLETED
    if settings.as_json:
        say_json(
            {
                "workflow_id": outcome.run.workflow_id,
                "run_id": outcome.run.run_id,
                "status": outcome.run.status.value,
                "result": outcome.result,
                "failure": outcome.failure or None,
            }
        )
    elif completed:
        say(compact(outcome.result))
    else:
        reason = reason_of_end(outcome.run.status, outcome.failure)
        remark(
            f"Run {outcome.run.run_id} of {escaped(outcome.run.workflow_id)} {coloured(outcome.run.status.value)}"
            + (f": {reason}" if reason else "")
        )
    return Exit.FINE if completed else Exit.FAILED
