"""`perdure signal`, `query`, `cancel` and `terminate`: talking to a run."""

from typing import Any

import click
import msgspec

from perdure.cli._arguments import parse_arguments
from perdure.cli._coroutines import runs_coroutine
from perdure.cli._database import connected
from perdure.cli._exits import CommandError, Exit
from perdure.cli._output import compact, escaped, say, say_json
from perdure.cli._registrations import imported_module, registrations_of
from perdure.cli._selection import select_run
from perdure.cli._settings import common_options, current_settings
from perdure.client import Client, WorkflowHandle
from perdure_history.records import RunRecord


@click.command("signal")
@click.argument("run")
@click.argument("name")
@click.argument("arguments", nargs=-1)
@click.option("--reason", default="", metavar="TEXT", help="Kept in the history.")
@common_options
@runs_coroutine
async def signal_command(run: str, name: str, arguments: tuple[str, ...], reason: str) -> None:
    """Send the signal NAME to RUN; it is durable when the command returns.

    ARGUMENTS are written as for `perdure start`.
    """
    settings = current_settings()
    values = parse_arguments(arguments)
    async with connected(settings) as client:
        record = await select_run(client.store, settings.namespace, run)
        await _handle(client, record).signal(name, *values, reason=reason)
    _done(record, f"signal {name} sent")


@click.command("query")
@click.argument("run")
@click.argument("name")
@click.argument("arguments", nargs=-1)
@click.option("-m", "--module", required=True, metavar="MODULE", help="Where the workflow is defined.")
@common_options
@runs_coroutine
async def query_command(run: str, name: str, arguments: tuple[str, ...], module: str) -> None:
    """Ask RUN the query NAME and print the answer as JSON.

    The answer comes from replaying the run's history here, with the workflow's code in MODULE; nothing is
    written, and no worker has to be alive. ARGUMENTS are written as for `perdure start`.
    """
    settings = current_settings()
    values = parse_arguments(arguments)
    workflows = registrations_of(imported_module(module)).workflows
    async with connected(settings, workflows=workflows) as client:
        record = await select_run(client.store, settings.namespace, run)
        if client.definition(record.workflow_type) is None:
            raise CommandError(
                f"{module} does not define {record.workflow_type!r}, the workflow of {escaped(record.workflow_id)}. "
                "Give -m the module that does.",
                Exit.USAGE,
            )
        answer: Any = await _handle(client, record).query(name, *values)
    plain = msgspec.to_builtins(answer)
    if settings.as_json:
        say_json({"workflow_id": record.workflow_id, "run_id": record.run_id, "answer": plain})
    else:
        say(compact(plain))


@click.command("cancel")
@click.argument("run")
@click.option("--reason", default="", metavar="TEXT", help="Kept in the history.")
@common_options
@runs_coroutine
async def cancel_command(run: str, reason: str) -> None:
    """Ask RUN to cancel itself; its code may clean up first, or go on."""
    settings = current_settings()
    async with connected(settings) as client:
        record = await select_run(client.store, settings.namespace, run)
        await _handle(client, record).cancel(reason=reason)
    _done(record, "cancellation requested")


@click.command("terminate")
@click.argument("run")
@click.option("--reason", default="", metavar="TEXT", help="Kept in the history.")
@common_options
@runs_coroutine
async def terminate_command(run: str, reason: str) -> None:
    """End RUN at once, without asking its code."""
    settings = current_settings()
    async with connected(settings) as client:
        record = await select_run(client.store, settings.namespace, run)
        await _handle(client, record).terminate(reason=reason)
    _done(record, "terminated")


def _handle(client: Client, run: RunRecord) -> WorkflowHandle[Any]:
    return client.get_workflow_handle(run.workflow_id, run_id=run.run_id)


def _done(run: RunRecord, what: str) -> None:
    if current_settings().as_json:
        say_json({"workflow_id": run.workflow_id, "run_id": run.run_id, "done": what})
    else:
        say(f"{escaped(run.workflow_id)} {run.run_id}: {what}")
