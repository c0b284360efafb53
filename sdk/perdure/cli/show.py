"""`perdure show`: one run as a tree, once or live."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import click

from perdure.cli._coroutines import runs_coroutine
from perdure.cli._database import connected
from perdure.cli._output import compact, on_terminal, say, say_json
from perdure.cli._records import step_json, timeline_json
from perdure.cli._selection import select_run
from perdure.cli._settings import common_options, current_settings
from perdure.cli._steps import Timeline
from perdure.cli._tree import Node, lines_of, tree_of
from perdure.cli._workers import Workforce, waits_for_worker, workforce_of
from perdure_history.records import Change, RunRecord, RunStatus
from perdure_history.store import Store

REDRAW_SECONDS = 0.25


@click.command("show")
@click.argument("run")
@click.option("--follow", "-f", is_flag=True, help="Go on until the run ends. Default on a terminal.")
@click.option("--once", is_flag=True, help="Print it as it is now, also on a terminal.")
@common_options
@runs_coroutine
async def show_command(run: str, follow: bool, once: bool) -> None:
    """Show one run as a tree: steps, durations, attempts, what it waits for.

    RUN is a workflow id (its newest run), a run id, or the beginning of one.
    """
    settings = current_settings()
    if follow and once:
        raise click.UsageError("--follow and --once exclude each other.")
    async with connected(settings) as client:
        record = await select_run(client.store, settings.namespace, run)
        live = follow or (on_terminal() and not once and not settings.as_json)
        if not live or record.status is not RunStatus.RUNNING:
            timeline = await _timeline(client.store, record)
            if settings.as_json:
                say_json(timeline_json(record, timeline))
            else:
                now = client.store.now()
                workforce = await _workforce(client.store, record, now)
                _say_tree(tree_of(record, timeline, now=now, workforce=workforce))
        elif settings.as_json or not on_terminal():
            await _follow_lines(client.store, record, as_json=settings.as_json)
        else:
            await _follow_tree(client.store, record)


async def _workforce(store: Store, run: RunRecord, now: int) -> Workforce | None:
    """The workers, when what the run waits for is one of them."""
    return await workforce_of(store) if waits_for_worker(run, now) else None


async def _timeline(store: Store, run: RunRecord) -> Timeline:
    timeline = Timeline()
    timeline.add(await store.read_history(run.run_id), run_id=run.run_id)
    return timeline


def _say_tree(node: Node) -> None:
    for line in lines_of(node):
        say(line)


async def _states(store: Store, run: RunRecord) -> AsyncIterator[tuple[RunRecord, Timeline, bool]]:
    """The run again and again until it is closed: (summary, timeline, whether it changed)."""
    loop = asyncio.get_running_loop()
    news = asyncio.Event()

    def hear(_changes: Sequence[Change]) -> None:
        loop.call_soon_threadsafe(news.set)

    timeline = Timeline()
    stop = store.subscribe(hear)
    try:
        while True:
            news.clear()
            before = timeline.head_seq
            run = await store.find_run(run.namespace, run.workflow_id, run.run_id)
            timeline.add(await store.read_history(run.run_id, after_seq=before), run_id=run.run_id)
            yield run, timeline, timeline.head_seq != before
            if timeline.closed_at is not None:
                return
            # A plain step changes nothing that others are told of, so the clock asks as well.
            try:
                async with asyncio.timeout(REDRAW_SECONDS):
                    await news.wait()
            except TimeoutError:
                pass
    finally:
        stop()


async def _follow_lines(store: Store, run: RunRecord, *, as_json: bool) -> None:
    """Print each step when it begins and each time it changes: for pipes."""
    seen: dict[int, object] = {}
    async for record, timeline, changed in _states(store, run):
        if not changed:
            continue
        for step in timeline.steps.values():
            if seen.get(step.seq) == step:
                continue
            seen[step.seq] = step
            if as_json:
                say(compact(step_json(step)))
            else:
                say(lines_of(tree_of(record, _only(timeline, step.seq), now=store.now()))[2])
        if timeline.closed_at is not None:
            say(
                compact(timeline_json(record, timeline))
                if as_json
                else lines_of(tree_of(record, timeline, now=0))[-1]
            )


def _only(timeline: Timeline, seq: int) -> Timeline:
    return Timeline(
        steps={seq: timeline.steps[seq]}, head_seq=timeline.head_seq, started_at=timeline.started_at
    )


async def _follow_tree(store: Store, run: RunRecord) -> None:
    """Redraw the tree in place while the run goes on: for people, with rich; without it, lines."""
    try:
        from rich.live import Live
        from rich.text import Text
    except ImportError:
        await _follow_lines(store, run, as_json=False)
        return
    with Live(refresh_per_second=8, transient=False, vertical_overflow="visible") as live:
        height = live.console.height - 2
        lines = 0
        async for record, timeline, _changed in _states(store, run):
            now = store.now()
            workforce = await _workforce(store, record, now)
            node = tree_of(record, timeline, now=now, workforce=workforce)
            lines = len(node.children)
            live.update(Text.from_ansi("\n".join(lines_of(_tail(node, height)))))
    if lines > height:
        say(f"{lines} lines; `perdure show --once` prints all of them.")


def _tail(node: Node, height: int) -> Node:
    """The tree cut to what the screen can hold: its root and its latest children."""
    if len(node.children) < height or height < 4:
        return node
    hidden = len(node.children) - height + 2
    return Node(node.text, [Node(f"... {hidden} earlier lines"), *node.children[hidden:]])
