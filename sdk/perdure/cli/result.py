"""`perdure result`."""

import asyncio

import click

from perdure.cli._coroutines import runs_coroutine
from perdure.cli._database import connected
from perdure.cli._exits import CommandError, Exit
from perdure.cli._outcome import say_outcome, wait_for_outcome
from perdure.cli._selection import select_run
from perdure.cli._settings import common_options, current_settings
from perdure_history.records import RunStatus


@click.command("result")
@click.argument("run")
@click.option(
    "--timeout", type=click.FloatRange(min=0), metavar="SECONDS", help="Give up waiting after this."
)
@common_options
@runs_coroutine
async def result_command(run: str, timeout: float | None) -> None:
    """Wait for a run and print its result as JSON; exit with 1 when the run did not complete.

    RUN is a workflow id (its newest run), a run id, or the beginning of one. The result of a run that has ended
    is there at any timeout, also 0.
    """
    settings = current_settings()
    async with connected(settings) as client:
        record = await select_run(client.store, settings.namespace, run)
        try:
            # What has ended needs no waiting, and a timeout of 0 would cut off the reading.
            async with asyncio.timeout(timeout if record.status is RunStatus.RUNNING else None):
                outcome = await wait_for_outcome(client, record)
        except TimeoutError:
            raise CommandError(
                f"Run {record.run_id} of {record.workflow_id} has no result after {timeout:g} s; it goes on. "
                f"`perdure show {record.workflow_id}` says what it waits for.",
                Exit.FAILED,
            ) from None
    click.get_current_context().exit(int(say_outcome(settings, outcome)))
