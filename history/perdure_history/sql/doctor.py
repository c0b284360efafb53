"""Facts about a database file that decide whether it keeps what it was given."""

import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec

from perdure_history.errors import ForeignDatabaseError, StoreUnavailableError
from perdure_history.sql.liveness import boot_id, file_system_of, is_shared
from perdure_history.sql.migrations import KNOWN_VERSION, schema_version
from perdure_history.sql.sidecar import LOCKS_WORK, sidecar_of
from perdure_history.sql.writer import connect_briefly

WAL_RESET_FIXED = (3, 51, 3)
"""The first SQLite in which a checkpoint beside a commit cannot damage the file."""

_GUARDS = ("perdure_history_no_delete", "perdure_history_no_replace", "perdure_history_no_update")
_LARGE_LOG = 64 * 1024 * 1024


class Fact(msgspec.Struct, frozen=True):
    """One thing that is so."""

    name: str
    value: str
    ok: bool
    """False: something to mend, as the explanation says."""
    explanation: str = ""


def examine_sqlite(path: str) -> list[Fact]:
    """Facts about the database at `path`, in the order in which to read them; nothing is changed.

    Raises StoreUnavailableError, ForeignDatabaseError.
    """
    file = Path(path).resolve()
    url = f"sqlite:///{file}"
    if not file.is_file():
        raise StoreUnavailableError(url, f"there is no file {file}")
    try:
        with closing(connect_briefly(str(file))) as connection:
            return [*_of_machine(file), *_of_database(connection), *_of_content(connection, url)]
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            raise ForeignDatabaseError(url, str(error)) from error
        raise StoreUnavailableError(url, str(error)) from error


def _of_machine(file: Path) -> list[Fact]:
    fixed = sqlite3.sqlite_version_info >= WAL_RESET_FIXED
    kind = file_system_of(file.parent)
    mode = file.stat().st_mode & 0o777
    sidecar = sidecar_of(str(file))
    return [
        Fact("database", str(file), ok=True),
        Fact(
            "SQLite",
            sqlite3.sqlite_version,
            ok=True,
            explanation="it has no WAL-reset bug"
            if fixed
            else "before 3.51.3 a checkpoint beside a commit can damage the file; perdure never does both at "
            "once, so write to this file with perdure alone, or upgrade SQLite",
        ),
        Fact(
            "writer lock",
            str(sidecar / "writer.lock") if LOCKS_WORK else "none",
            ok=LOCKS_WORK or fixed,
            explanation="commits and checkpoints of all processes take turns by it"
            if LOCKS_WORK
            else "this platform has no POSIX record locks: use one process a file",
        ),
        Fact(
            "file system",
            kind or "unknown",
            ok=not is_shared(kind) or kind == "overlay",
            explanation="locks may mean little here: keep the file on a local disk, and expect a dead worker "
            "to be noticed only when its lease lapses"
            if is_shared(kind)
            else "a dead worker on this machine is noticed at once",
        ),
        Fact("boot", boot_id() or "unknown", ok=True),
        Fact(
            "permissions",
            f"{mode:04o}",
            ok=mode & 0o077 == 0,
            explanation="" if mode & 0o077 == 0 else f"others can read the histories: chmod 600 {file}",
        ),
    ]


def _of_database(connection: sqlite3.Connection) -> list[Fact]:
    journal = str(connection.execute("PRAGMA journal_mode").fetchone()[0])
    log = Path(f"{connection.execute('PRAGMA database_list').fetchone()[2]}-wal")
    log_bytes = log.stat().st_size if log.exists() else 0
    return [
        Fact(
            "journal mode",
            journal,
            ok=journal == "wal",
            explanation="" if journal == "wal" else "perdure sets WAL when it opens the file",
        ),
        Fact("synchronous", "FULL", ok=True, explanation="perdure's writing connection: a commit is durable"),
        Fact(
            "log",
            f"{log_bytes} bytes",
            ok=log_bytes < _LARGE_LOG,
            explanation=""
            if log_bytes < _LARGE_LOG
            else "a reader that never ends its transaction keeps the log from being checkpointed",
        ),
    ]


def _of_content(connection: sqlite3.Connection, url: str) -> list[Fact]:
    version = schema_version(connection)
    if version is None:
        raise ForeignDatabaseError(url, "it has no perdure_schema")
    present = {row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'")}
    missing = [name for name in _GUARDS if name not in present]
    facts = [
        Fact(
            "schema",
            f"version {version}",
            ok=version == KNOWN_VERSION,
            explanation="" if version == KNOWN_VERSION else f"this perdure knows version {KNOWN_VERSION}",
        ),
        Fact(
            "INSERT-only history",
            "guarded" if not missing else f"without {', '.join(missing)}",
            ok=not missing,
            explanation="triggers refuse every change; who may drop triggers is found out by `perdure verify`",
        ),
    ]
    if version > KNOWN_VERSION:
        return facts
    counts = dict(connection.execute("SELECT status, count(*) FROM perdure_runs GROUP BY status").fetchall())
    live = connection.execute(
        "SELECT incarnation, identity FROM perdure_workers WHERE state = 'live' ORDER BY started_at"
    ).fetchall()
    stuck = connection.execute("SELECT count(*) FROM perdure_runs WHERE problem IS NOT NULL").fetchone()[0]
    shown = ", ".join(f"{count} {status}" for status, count in sorted(counts.items()))
    return [
        *facts,
        Fact("runs", shown or "none", ok=True),
        Fact(
            "runs with a problem",
            str(stuck),
            ok=stuck == 0,
            explanation=""
            if stuck == 0
            else "`perdure list` shows them; a worker with mended code takes them up",
        ),
        Fact("live workers", ", ".join(f"{who} ({name})" for name, who in live) or "none", ok=True),
    ]
