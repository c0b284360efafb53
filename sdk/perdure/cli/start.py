"""`perdure start`."""

from uuid import uuid4

import click

from perdure.cli._arguments import parse_arguments
from perdure.cli._coroutines import runs_coroutine
from perdure.cli._database import connected
from perdure.cli._outcome import say_outcome, wait_for_outcome
from perdure.cli._output import escaped, say, say_json
from perdure.cli._settings import common_options, current_settings
from perdure_history.ids import RunId


@click.command("start")
@click.argument("workflow")
@click.argument("arguments", nargs=-1)
@click.option(
    "--id",
    "workflow_id",
    metavar="ID",
    help="The workflow id. Default: the workflow's name and a random part.",
)
@click.option("-q", "--queue", default="default", show_default=True, metavar="NAME", help="The task queue.")
@click.option("--reason", default="", metavar="TEXT", help="Kept in the history.")
@click.option("--wait", is_flag=True, help="Wait for the run and print its result instead.")
@common_options
@runs_coroutine
async def start_command(
    workflow: str, arguments: tuple[str, ...], workflow_id: str | None, queue: str, reason: str, wait: bool
) -> None:
    """Start a run of WORKFLOW; print its workflow id and run id once it is durable.

    ARGUMENTS: key=text and key:=json make one object, where the key is an identifier; :=json, @file and -
    (standard input) are one JSON value each; anything else, such as https://example.org/?a=b, is text.
    Text that looks like one of the others is written as JSON: ':="a=b"', ':="@me"'; so is an object whose keys
    are no identifiers: ':={"first-name": "Ada"}'.

    \b
    perdure start order_flow id=1001 amount:=12.5 --id order-1001
    """  # noqa: D301  click reads \b as "leave these lines as they are"
    settings = current_settings()
    values = parse_arguments(arguments)
    chosen = workflow_id if workflow_id is not None else f"{workflow}-{uuid4().hex[:12]}"
    async with connected(settings, create=True) as client:
        handle = await client.start_workflow(workflow, *values, id=chosen, task_queue=queue, reason=reason)
        run = await client.store.find_run(settings.namespace, chosen, RunId(handle.result_run_id or ""))
        if wait:
            outcome = await wait_for_outcome(client, run)
            click.get_current_context().exit(int(say_outcome(settings, outcome)))
    if settings.as_json:
        say_json({"workflow_id": run.workflow_id, "run_id": run.run_id})
    else:
        say(f"{escaped(run.workflow_id)} {run.run_id}")
