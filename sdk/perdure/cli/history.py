"""`perdure history`."""

import click

from perdure.cli._coroutines import runs_coroutine
from perdure.cli._database import connected
from perdure.cli._output import escaped, fitted, moment, say_json, say_table
from perdure.cli._records import event_json
from perdure.cli._selection import select_run
from perdure.cli._settings import common_options, current_settings


@click.command("history")
@click.argument("run")
@click.option("--after", type=click.IntRange(min=0), default=0, metavar="SEQ", help="Only later events.")
@common_options
@runs_coroutine
async def history_command(run: str, after: int) -> None:
    """Print the events of a run, oldest first, as they are stored.

    RUN is a workflow id (its newest run), a run id, or the beginning of one.
    """
    settings = current_settings()
    async with connected(settings) as client:
        record = await select_run(client.store, settings.namespace, run)
        rows = await client.store.read_history(record.run_id, after_seq=after)
    if settings.as_json:
        say_json([event_json(row) for row in rows])
        return
    say_table(
        ("SEQ", "TURN", "RECORDED (UTC)", "TYPE", "ACTOR", "ATTRIBUTES"),
        (
            (
                str(row.seq),
                "-" if row.turn is None else str(row.turn),
                moment(row.recorded_at),
                row.type,
                escaped(row.actor),
                fitted(row.attributes, 200),
            )
            for row in rows
        ),
    )
