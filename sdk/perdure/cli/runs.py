"""`perdure list` and `perdure count`."""

from collections.abc import AsyncIterator

import click

from perdure.cli._coroutines import runs_coroutine
from perdure.cli._database import connected
from perdure.cli._output import (
    coloured,
    duration,
    escaped,
    moment,
    on_terminal,
    remark,
    say,
    say_json,
    say_table,
)
from perdure.cli._records import problem_of, run_json
from perdure.cli._settings import Settings, common_options, current_settings
from perdure_history.records import RunFilter, RunRecord, RunStatus
from perdure_history.store import RunStore

STATUSES = [status.value for status in RunStatus]
SCREENFUL = 50


@click.command("list")
@click.option(
    "--status", "statuses", multiple=True, type=click.Choice(STATUSES), help="Only these; may be repeated."
)
@click.option("--type", "types", multiple=True, metavar="NAME", help="Only runs of these workflows.")
@click.option("-q", "--queue", metavar="NAME", help="Only runs of this task queue.")
@click.option("--id", "prefix", metavar="PREFIX", help="Only workflow ids that begin so.")
@click.option("--stuck", is_flag=True, help="Only runs whose code cannot go on, with the reason.")
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    help=f"At most so many. Default: {SCREENFUL} on a terminal, else all.",
)
@common_options
@runs_coroutine
async def list_command(
    statuses: tuple[str, ...],
    types: tuple[str, ...],
    queue: str | None,
    prefix: str | None,
    stuck: bool,
    limit: int | None,
) -> None:
    """List runs, newest first."""
    settings = current_settings()
    where = _filter(settings, statuses, types, queue, prefix, stuck)
    if limit is None and on_terminal() and not settings.as_json:
        limit = SCREENFUL
    async with connected(settings) as client:
        runs = [run async for run in _pages(client.store, where, limit=None if limit is None else limit + 1)]
    more = limit is not None and len(runs) > limit
    runs = runs[:limit]
    if settings.as_json:
        say_json([run_json(run) for run in runs])
    elif runs:
        _say_runs(runs)
    else:
        remark("No runs.")
    if more:
        remark(f"There are more; --limit shows more than {limit}.")


@click.command("count")
@click.option(
    "--status", "statuses", multiple=True, type=click.Choice(STATUSES), help="Only these; may be repeated."
)
@click.option("--type", "types", multiple=True, metavar="NAME", help="Only runs of these workflows.")
@click.option("-q", "--queue", metavar="NAME", help="Only runs of this task queue.")
@click.option("--id", "prefix", metavar="PREFIX", help="Only workflow ids that begin so.")
@common_options
@runs_coroutine
async def count_command(
    statuses: tuple[str, ...], types: tuple[str, ...], queue: str | None, prefix: str | None
) -> None:
    """Count runs by status."""
    settings = current_settings()
    where = _filter(settings, statuses, types, queue, prefix, stuck=False)
    async with connected(settings) as client:
        counts = await client.store.count_runs(where)
    ordered = {status: counts[status] for status in STATUSES if counts.get(status)}
    total = sum(ordered.values())
    if settings.as_json:
        say_json(ordered | {"total": total})
        return
    for status, number in ordered.items():
        say(f"{coloured(status)} {number}")
    say(f"total {total}")


def _filter(
    settings: Settings,
    statuses: tuple[str, ...],
    types: tuple[str, ...],
    queue: str | None,
    prefix: str | None,
    stuck: bool,
) -> RunFilter:
    return RunFilter(
        namespace=settings.namespace,
        statuses=tuple(RunStatus(status) for status in statuses),
        workflow_types=types,
        task_queue=queue,
        workflow_id_prefix=prefix,
        with_problem=True if stuck else None,
    )


async def _pages(store: RunStore, where: RunFilter, *, limit: int | None) -> AsyncIterator[RunRecord]:
    cursor: str | None = None
    left = limit
    while left is None or left > 0:
        page = await store.list_runs(where, limit=500 if left is None else min(left, 500), cursor=cursor)
        for run in page.runs:
            yield run
        cursor = page.cursor
        if cursor is None:
            return
        if left is not None:
            left -= len(page.runs)


def _say_runs(runs: list[RunRecord]) -> None:
    rows: list[tuple[str, ...]] = []
    for run in runs:
        problem = problem_of(run)
        took = "" if run.closed_at is None else duration(run.closed_at - run.started_at)
        note = "" if problem is None else f"{problem.kind}: {problem.message}"
        rows.append(
            (
                escaped(run.workflow_id),
                coloured("failed", "stuck") if problem else coloured(run.status.value),
                escaped(run.workflow_type),
                moment(run.started_at),
                took,
                run.run_id,
                escaped(note),
            )
        )
    say_table(("WORKFLOW ID", "STATUS", "WORKFLOW", "STARTED (UTC)", "TOOK", "RUN ID", "PROBLEM"), rows)
