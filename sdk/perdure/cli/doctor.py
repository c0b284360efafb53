"""`perdure doctor`: what holds on this machine, for this database."""

import asyncio
import platform
import sys
from collections.abc import AsyncGenerator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

import click

from perdure.cli._coroutines import runs_coroutine
from perdure.cli._database import connected, database_url, sqlite_file, without_password
from perdure.cli._exits import Exit, told
from perdure.cli._output import escaped, say, say_json
from perdure.cli._settings import Settings, common_options, current_settings
from perdure.cli._workers import overdue_text, waits_for_worker, workforce_of
from perdure_history.records import RunFilter, RunStatus
from perdure_history.sql.doctor import Fact, examine_sqlite
from perdure_history.store import Store

EXTRAS = {
    "rich": "live views in colour",
    "pydantic": "pydantic models as arguments",
    "uvloop": "a faster event loop",
}


@click.command("doctor")
@common_options
@runs_coroutine
async def doctor_command() -> None:
    """Say what holds here: Python, SQLite, the database, its workers, runs that cannot go on.

    Changes nothing. Exits with 1 when something is to be mended, 4 when there is no usable database.
    """
    settings = current_settings()
    facts = _of_machine()
    code = Exit.FINE
    try:
        async for fact in _of_database(settings):
            facts.append(fact)  # noqa: PERF401  what was found before an error is kept
    except Exception as error:  # noqa: BLE001  whatever the database answers is what the doctor reports
        end = told(error)
        facts.append(Fact("database", "not usable", ok=False, explanation=end.message))
        code = end.exit_code
    if code is Exit.FINE and not all(fact.ok for fact in facts):
        code = Exit.FAILED
    if settings.as_json:
        say_json(
            [
                {"name": one.name, "value": one.value, "ok": one.ok, "explanation": one.explanation}
                for one in facts
            ]
        )
    else:
        _say(facts)
    click.get_current_context().exit(int(code))


def _say(facts: list[Fact]) -> None:
    width = max(len(fact.name) for fact in facts)
    for fact in facts:
        mark = click.style("ok  ", fg="green") if fact.ok else click.style("mend", fg="red")
        explained = f": {fact.explanation}" if fact.explanation else ""
        say(f"{mark}  {fact.name.ljust(width)}  {fact.value}{explained}")


def _of_machine() -> list[Fact]:
    python = ".".join(map(str, sys.version_info[:3]))
    facts = [
        Fact("perdure", version("perdure"), ok=True),
        Fact("Python", f"{platform.python_implementation()} {python} on {platform.system()}", ok=True),
    ]
    facts.extend(
        Fact(name, _version(name), ok=True, explanation=f"it brings {use}") for name, use in EXTRAS.items()
    )
    return facts


def _version(name: str) -> str:
    if find_spec(name) is None:
        return "not installed"
    try:
        return version(name)
    except PackageNotFoundError:
        return "installed"


async def _of_database(settings: Settings) -> AsyncGenerator[Fact]:
    url = database_url(settings)
    yield Fact("address", without_password(url), ok=True)
    # Connecting comes first: it refuses what is missing, foreign or newer, in the words of every other verb.
    async with connected(settings) as client:
        path = sqlite_file(url)
        if path is not None:
            for fact in await asyncio.to_thread(examine_sqlite, str(path)):
                yield fact
        async for fact in _of_work(client.store, settings.namespace):
            yield fact


async def _of_work(store: Store, namespace: str) -> AsyncGenerator[Fact]:
    """Whether the work goes on, as far as the store can tell."""
    workforce = await workforce_of(store)
    names = ", ".join(
        f"{escaped(one.identity)} on {one.task_queues.replace(chr(10), ', ')}" for one in workforce.alive[:5]
    )
    lost = f"{len(workforce.dead)} died; their runs go on with the next worker" if workforce.dead else ""
    yield Fact("workers alive", names or "none", ok=True, explanation=lost)
    stuck = await store.list_runs(RunFilter(namespace=namespace, with_problem=True), limit=5)
    if stuck.runs:
        ids = ", ".join(escaped(run.workflow_id) for run in stuck.runs) + (
            " and more" if stuck.cursor else ""
        )
        yield Fact(
            "stuck runs", ids, ok=False, explanation="their code cannot go on; `perdure show` says why"
        )
    running = await store.list_runs(RunFilter(namespace=namespace, statuses=(RunStatus.RUNNING,)), limit=500)
    now = store.now()
    late = [run for run in running.runs if waits_for_worker(run, now)]
    if late and not workforce.alive:
        yield Fact(
            "runs without a worker",
            overdue_text(late, now),
            ok=False,
            explanation="start one: `perdure worker MODULE`",
        )
