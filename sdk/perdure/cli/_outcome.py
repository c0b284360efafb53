"""How a run ended, read from its history: no code of the workflow is needed to know it."""

from dataclasses import dataclass
from typing import Any

from perdure.cli._exits import Exit
from perdure.cli._output import coloured, compact, remark, say, say_json
from perdure.cli._settings import Settings
from perdure.cli._steps import Timeline
from perdure.client import Client
from perdure_history.records import RunRecord, RunStatus


@dataclass(frozen=True, slots=True)
class Outcome:
    """The end of a run."""

    run: RunRecord
    result: Any
    failure: str


async def wait_for_outcome(client: Client, run: RunRecord) -> Outcome:
    """The outcome of the run, as soon as it has one."""
    timeline = Timeline()
    timeline.add([await client.closing(run.run_id)], run_id=run.run_id)
    closed = await client.store.find_run(run.namespace, run.workflow_id, run.run_id)
    return Outcome(closed, timeline.result, timeline.failure)


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
        status = outcome.run.status.value
        remark(
            f"Run {outcome.run.run_id} of {outcome.run.workflow_id} {coloured(status)}: {outcome.failure or status}"
        )
    return Exit.FINE if completed else Exit.FAILED
