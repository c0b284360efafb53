"""`perdure verify`."""

import sys
import time

import click

from perdure.cli._coroutines import runs_coroutine
from perdure.cli._database import connected
from perdure.cli._exits import Exit
from perdure.cli._output import say, say_json
from perdure.cli._selection import select_run
from perdure.cli._settings import common_options, current_settings
from perdure_history.audit import VerifiedRun, verify_all, verify_run
from perdure_history.records import RunFilter

PROGRESS_SECONDS = 0.2


@click.command("verify")
@click.argument("run", required=False)
@common_options
@runs_coroutine
async def verify_command(run: str | None) -> None:
    """Check that no stored history was changed, cut, reordered or forged; RUN limits it to one run.

    Recomputes the hash chain of each run and the rules that every history keeps (one start, one end, one outcome
    for each step ...). Exits with 1 when anything is wrong. Reads only; runs may go on meanwhile.
    """
    settings = current_settings()
    faulty: list[VerifiedRun] = []
    runs = events = 0
    async with connected(settings) as client:
        if run is not None:
            record = await select_run(client.store, settings.namespace, run)
            checked = await verify_run(client.store, record)
            runs, events = 1, checked.events
            faulty = [checked] if checked.defects else []
        else:
            where = RunFilter(namespace=settings.namespace)
            total = sum((await client.store.count_runs(where)).values())
            progress = Progress(total)
            async for checked in verify_all(client.store, where):
                runs, events = runs + 1, events + checked.events
                if checked.defects:
                    faulty.append(checked)
                progress.show(runs, events)
            progress.clear()
    _say(faulty, runs, events, as_json=settings.as_json)
    click.get_current_context().exit(int(Exit.FAILED if faulty else Exit.FINE))


def _say(faulty: list[VerifiedRun], runs: int, events: int, *, as_json: bool) -> None:
    defects = [(checked, defect) for checked in faulty for defect in checked.defects]
    if as_json:
        shown = [
            {
                "workflow_id": checked.run.workflow_id,
                "run_id": defect.run_id,
                "seq": defect.seq,
                "what": defect.what,
            }
            for checked, defect in defects
        ]
        say_json({"runs": runs, "events": events, "defects": shown})
        return
    for checked, defect in defects:
        say(f"{checked.run.workflow_id} {defect.run_id} event {defect.seq}: {defect.what}")
    if defects:
        say(
            f"{len(faulty)} of {runs} runs do not verify. Someone or something other than perdure changed the database; "
            "compare it with a backup."
        )
    else:
        say(f"{runs} runs, {events} events: every chain is whole, every rule is kept.")


class Progress:
    """A line on standard error that counts up, on a terminal only."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._visible = sys.stderr is not None and sys.stderr.isatty()
        self._shown_at = time.monotonic()

    def show(self, runs: int, events: int) -> None:
        """Redraw, at most five times a second."""
        if self._visible and time.monotonic() - self._shown_at > PROGRESS_SECONDS:
            self._shown_at = time.monotonic()
            click.echo(f"\r{runs}/{self._total} runs, {events} events", nl=False, err=True)

    def clear(self) -> None:
        """Leave the line empty for what comes."""
        if self._visible:
            click.echo("\r" + " " * 60 + "\r", nl=False, err=True)
