"""`perdure doctor`: what holds on this machine, for this database."""

import platform
import sqlite3
import sys
from collections.abc import AsyncGenerator, Generator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import click

from perdure.cli._coroutines import runs_coroutine
from perdure.cli._database import connected, database_url, opened_read_only, sqlite_file, without_password
from perdure.cli._exits import Exit, told
from perdure.cli._output import duration, say, say_json
from perdure.cli._settings import Settings, common_options, current_settings
from perdure_history.records import RunFilter, RunStatus
from perdure_history.store import Store

FINE, WARNING, WRONG = "fine", "warning", "wrong"
COLOURS = {FINE: "green", WARNING: "yellow", WRONG: "red"}
EXTRAS = {
    "rich": "live views in colour",
    "pydantic": "pydantic models as arguments",
    "uvloop": "a faster event loop",
}
WAL_RESET_MENDED = (3, 51, 3)
TRIGGERS = "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'perdure_history'"
EXPECTED_TRIGGERS = 3
NETWORK_FILESYSTEMS = {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "fuse.sshfs", "afs"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    state: str
    told: str


@click.command("doctor")
@common_options
@runs_coroutine
async def doctor_command() -> None:
    """Say what holds here: Python, SQLite, the database, its workers, runs that cannot go on.

    Reads only. Exits with 1 when something is wrong, 4 when there is no usable database; warnings exit with 0.
    """
    settings = current_settings()
    findings = [*_machine()]
    code = Exit.FINE
    try:
        findings.extend(_place(database_url(settings)))
        async for finding in _database(settings):
            findings.append(finding)  # noqa: PERF401  what was found before an error is kept
    except Exception as error:  # noqa: BLE001  whatever the database answers is what the doctor reports
        end = told(error)
        findings.append(Finding("database", WRONG, end.message))
        code = end.exit_code
    if code is Exit.FINE and any(finding.state == WRONG for finding in findings):
        code = Exit.FAILED
    if settings.as_json:
        say_json([{"what": one.what, "state": one.state, "told": one.told} for one in findings])
    else:
        width = max(len(finding.what) for finding in findings)
        for finding in findings:
            state = click.style(finding.state.ljust(7), fg=COLOURS[finding.state])
            say(f"{state}  {finding.what.ljust(width)}  {finding.told}")
    click.get_current_context().exit(int(code))


def _machine() -> list[Finding]:
    python = ".".join(map(str, sys.version_info[:3]))
    findings = [
        Finding("perdure", FINE, version("perdure")),
        Finding("python", FINE, f"{platform.python_implementation()} {python} on {platform.system()}"),
        Finding("sqlite", FINE, _sqlite_text()),
    ]
    for name, use in EXTRAS.items():
        there = find_spec(name) is not None
        findings.append(
            Finding(name, FINE, f"{_version(name)}: {use}" if there else f"not installed; it brings {use}")
        )
    return findings


def _sqlite_text() -> str:
    """What holds for the SQLite library that this Python brings."""
    text = f"library {sqlite3.sqlite_version}"
    if sqlite3.sqlite_version_info >= WAL_RESET_MENDED:
        return text
    return (
        f"{text}: before {'.'.join(map(str, WAL_RESET_MENDED))} a database can be damaged when several connections write "
        "and checkpoint at once. perdure's processes take turns (see <database>-perdure/writer.lock), so they are safe; "
        "let no other program write to the same file meanwhile"
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "installed"


def _place(url: str) -> list[Finding]:
    findings = [Finding("address", FINE, without_password(url))]
    path = sqlite_file(url)
    if path is None or not path.exists():
        return findings
    kind = _filesystem(str(path.resolve()))
    if kind in NETWORK_FILESYSTEMS:
        findings.append(
            Finding(
                "file system", WRONG, f"{kind}: locks of SQLite do not hold across machines; use a local disk"
            )
        )
    elif kind:
        findings.append(Finding("file system", FINE, kind))
    findings.append(Finding("file", FINE, f"{path.resolve()}, {path.stat().st_size / 1_048_576:.1f} MiB"))
    return findings


def _inside(path: Path) -> Generator[Finding]:
    """What the file says of itself."""
    with opened_read_only(path) as connection:
        version_found = connection.execute("SELECT max(version) FROM perdure_schema").fetchone()[0]
        yield Finding("schema", FINE, f"version {version_found}")
        mode = connection.execute("PRAGMA journal_mode").fetchone()[0]
        durable = "each commit is synced to disk (synchronous=FULL)"
        yield Finding("journal", FINE if mode == "wal" else WARNING, f"{mode}; {durable}")
        triggers = connection.execute(TRIGGERS).fetchone()[0]
        if triggers >= EXPECTED_TRIGGERS:
            yield Finding("triggers", FINE, "refuse every change of a recorded event")
        else:
            missing = f"{EXPECTED_TRIGGERS - triggers} of {EXPECTED_TRIGGERS} are gone: someone removed them"
            yield Finding("triggers", WRONG, f"{missing}; run `perdure verify`")


def _filesystem(path: str) -> str:
    """Type of the file system that holds `path`; empty where the system does not say (no /proc)."""
    try:
        with open("/proc/self/mounts", encoding="utf-8") as mounts:  # noqa: PTH123  not a file of ours
            found = [line.split()[1:3] for line in mounts]
    except OSError:
        return ""
    fitting = [(len(point), kind) for point, kind in found if path.startswith(point.rstrip("/") + "/")]
    return max(fitting)[1] if fitting else ""


async def _database(settings: Settings) -> AsyncGenerator[Finding]:
    async with connected(settings) as client:
        yield Finding("database", FINE, "answers; its schema is one that this perdure knows")
        path = sqlite_file(database_url(settings))
        if path is not None:
            for finding in _inside(path):
                yield finding
        async for finding in _runs(client.store, settings.namespace):
            yield finding


async def _runs(store: Store, namespace: str) -> AsyncGenerator[Finding]:
    counts = await store.count_runs(RunFilter(namespace=namespace))
    shown = ", ".join(f"{number} {status}" for status, number in counts.items())
    yield Finding("runs", FINE, shown or "none yet")
    workers = await store.list_workers()
    dead = set(await store.proven_dead(workers))
    live = [one for one in workers if one.incarnation not in dead]
    names = ", ".join(f"{one.identity} ({one.task_queues.replace(chr(10), ', ')})" for one in live[:5])
    lost = f"; {len(dead)} died, their runs go on with the next worker" if dead else ""
    yield Finding("workers", FINE, (f"{len(live)} alive: {names}" if live else "none alive") + lost)
    stuck = await store.list_runs(RunFilter(namespace=namespace, with_problem=True), limit=5)
    if stuck.runs:
        ids = ", ".join(run.workflow_id for run in stuck.runs) + (" and more" if stuck.cursor else "")
        yield Finding("stuck runs", WARNING, f"{ids}: their code cannot go on; `perdure show` says why")
    running = await store.list_runs(RunFilter(namespace=namespace, statuses=(RunStatus.RUNNING,)), limit=500)
    now = store.now()
    late = [
        now - run.wake_at
        for run in running.runs
        if run.owner is None and run.wake_at is not None and run.wake_at < now
    ]
    if late and not live:
        yield Finding(
            "waiting runs",
            WARNING,
            f"{len(late)} runs are due for up to {duration(max(late))} and no worker is alive",
        )
