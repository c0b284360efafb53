"""`perdure worker`: run a module's workflows and activities until told to stop."""

import asyncio
import os
import signal
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import click

from perdure.cli._coroutines import runs_coroutine
from perdure.cli._database import connected
from perdure.cli._exits import CommandError, Exit
from perdure.cli._output import remark
from perdure.cli._registrations import Registrations, imported_module, registrations_of
from perdure.cli._settings import common_options, current_settings
from perdure.worker import Worker
from perdure_history.records import Change, RunFilter, RunStatus
from perdure_history.store import Store


@click.command("worker")
@click.argument("module")
@click.option(
    "-q", "--queue", default="default", show_default=True, metavar="NAME", help="The task queue to serve."
)
@click.option(
    "-c",
    "--concurrency",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    metavar="N",
    help="At most so many activities at once.",
)
@click.option(
    "--drain",
    type=click.FloatRange(min=0),
    default=10.0,
    show_default=True,
    metavar="SECONDS",
    help="How long running activities may finish after SIGTERM or Ctrl-C.",
)
@click.option("--until-idle", is_flag=True, help="Stop when no run of the queue is open.")
@common_options
@runs_coroutine
async def worker_command(module: str, queue: str, concurrency: int, drain: float, until_idle: bool) -> None:
    """Run all workflows and activities that MODULE (a dotted name or a .py file) defines or imports.

    SIGTERM or Ctrl-C stops it in order: no new work, running activities may finish, then its runs are free for
    others. A second one stops it at once, which is as safe and loses the attempts under way.
    """
    settings = current_settings()
    found = registrations_of(imported_module(module))
    if not found.workflows:
        raise CommandError(f"{module} defines no workflow. Decorate one with @workflow.defn.", Exit.USAGE)
    async with connected(settings, create=True) as client:
        worker = Worker(
            client,
            task_queue=queue,
            workflows=found.workflows,
            activities=found.activities,
            max_concurrent_activities=concurrency,
            graceful_shutdown_timeout=timedelta(seconds=drain),
        )
        stop = asyncio.Event()
        _stop_on_signals(stop)
        _say_start(found, queue, client.store.url)
        running = asyncio.create_task(worker.run())
        waits: list[asyncio.Task[Any]] = [running, asyncio.create_task(stop.wait())]
        if until_idle:
            waits.append(asyncio.create_task(_idle(client.store, settings.namespace, queue)))
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            if not running.done():
                await worker.shutdown()
            await running
        finally:
            for task in waits[1:]:
                task.cancel()
            await asyncio.gather(*waits[1:], return_exceptions=True)
    remark("Worker stopped.")


def _stop_on_signals(stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def heard(number: int) -> None:
        if stop.is_set():
            os._exit(128 + number)  # as safe as any crash, and what a second Ctrl-C means
        remark(f"{signal.Signals(number).name}: finishing what runs; once more stops at once.")
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, heard, number)


def _say_start(found: Registrations, queue: str, url: str) -> None:
    remark(
        f"Worker {os.getpid()} on {url}, queue {queue}: "
        f"{len(found.workflows)} workflows, {len(found.activities)} activities. Ctrl-C stops it."
    )


async def _idle(store: Store, namespace: str, queue: str) -> None:
    """Return when no run of the queue is open."""
    loop = asyncio.get_running_loop()
    news = asyncio.Event()

    def hear(_changes: Sequence[Change]) -> None:
        loop.call_soon_threadsafe(news.set)

    where = RunFilter(namespace=namespace, task_queue=queue, statuses=(RunStatus.RUNNING,))
    stop = store.subscribe(hear)
    try:
        while await store.count_runs(where):
            news.clear()
            try:
                async with asyncio.timeout(1.0):
                    await news.wait()
                    await asyncio.sleep(0.05)  # one count for a burst of news
            except TimeoutError:
                pass
    finally:
        stop()
