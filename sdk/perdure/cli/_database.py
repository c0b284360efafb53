"""Which database a command means, and a client that is connected to it."""

import os
import sqlite3
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from perdure.cli._exits import CommandError, Exit
from perdure.cli._output import remark
from perdure.cli._settings import Settings
from perdure.client import AddressError, Client, sqlite_path
from perdure_history.errors import HistoryError
from perdure_history.sql.migrations import schema_version
from perdure_history.sql.writer import connect_briefly

SQLITE_HEADER = b"SQLite format 3\0"
UNTOUCHED = "It was left as it is; check --db."


def database_url(settings: Settings) -> str:
    """The address to use: --db, then PERDURE_DATABASE_URL, then DATABASE_URL (said aloud, as it may be another's)."""
    if settings.url:
        return settings.url
    if url := os.environ.get("PERDURE_DATABASE_URL"):
        return url
    if url := os.environ.get("DATABASE_URL"):
        remark(f"Using the database of DATABASE_URL: {without_password(url)}")
        settings.url = url  # said once
        return url
    raise CommandError(
        "No database given. Say --db PATH (or a URL such as sqlite:///app.db), or set PERDURE_DATABASE_URL.",
        Exit.NO_DATABASE,
    )


def without_password(url: str) -> str:
    """The address as it may be printed."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return url.replace(f":{parts.password}@", ":***@", 1)


def sqlite_file(url: str) -> Path | None:
    """The file that an address names; None when it names something else."""
    try:
        return sqlite_path(url)
    except AddressError:
        return None


def refuse_missing_file(url: str) -> None:
    """End the command when the address names a file that is not there: a question never makes a database."""
    path = sqlite_file(url)
    if path is None:
        return
    if not path.exists():
        near = ""
        if path.parent.is_dir():
            databases = sorted(entry.name for entry in path.parent.glob("*.db"))[:5]
            near = f" In its folder there is {', '.join(databases)}." if databases else ""
        raise CommandError(
            f"There is no database at {path}. Nothing was created; check --db, or start a worker or a run to make one."
            + near,
            Exit.NO_DATABASE,
        )
    if path.is_file() and path.stat().st_size == 0:
        raise CommandError(f"{path} is an empty file, not a perdure database. {UNTOUCHED}", Exit.NO_DATABASE)
    # Connecting would put tables into a database of somebody else's. Any error is told by the connection itself.
    with suppress(sqlite3.Error), closing(connect_briefly(str(path.resolve()))) as connection:
        if schema_version(connection) is None:
            raise CommandError(
                f"{path} is not a perdure database: it has no perdure_schema. {UNTOUCHED}", Exit.NO_DATABASE
            )


@asynccontextmanager
async def connected(
    settings: Settings, *, create: bool = False, workflows: Sequence[Any] = ()
) -> AsyncGenerator[Client]:
    """A client for the database that the settings mean; `create` lets a missing SQLite file be made.

    `workflows`: definitions by which queries can be answered here.
    """
    url = database_url(settings)
    if url.startswith("memory://"):
        raise CommandError(
            "A memory store ends with its process, so a command would ask or fill an empty one. Name a file.",
            Exit.NO_DATABASE,
        )
    try:
        if not create:
            refuse_missing_file(url)
        client = await Client.connect(url, namespace=settings.namespace, workflows=workflows)
        try:
            yield client
        finally:
            await client.close()
    except AddressError as error:
        raise CommandError(str(error).replace(url, without_password(url)), Exit.NO_DATABASE) from error
    except (HistoryError, sqlite3.Error) as error:
        if is_damaged(url, error):
            raise CommandError(
                f"{sqlite_file(url)} is damaged: {_sqlite_words(error)}. Restore a backup.",
                Exit.NO_DATABASE,
            ) from error
        raise


def is_damaged(url: str, error: BaseException) -> bool:
    """Whether SQLite cannot read a file that begins as its files do."""
    path = sqlite_file(url)
    if path is None or not _sqlite_words(error):
        return False
    try:
        with path.open("rb") as file:
            return file.read(len(SQLITE_HEADER)) == SQLITE_HEADER
    except OSError:
        return False


def _sqlite_words(error: BaseException | None) -> str:
    """What SQLite said of a file that it cannot read; empty when that is not what went wrong."""
    while error is not None:
        code: int = getattr(error, "sqlite_errorcode", 0)
        if code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            return str(error)
        error = error.__cause__
    return ""
