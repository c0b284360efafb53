"""The schema's numbered steps, applied when a database is opened.

Each step is applied in one transaction with its row in `perdure_schema`, so it is there whole or not at all.
Processes that start at once take turns; the later ones find the work done. A step that was released never
changes: its checksum is compared each time.

What counts as foreign, and is left untouched:

- a file that is not an SQLite database;
- a database with `perdure_` tables but without `perdure_schema`, or whose steps have other checksums: half of
  a database of ours, or none of ours.

A database with tables of its user's own is not foreign: perdure's tables are put beside them.
"""

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256

import msgspec
from sqlalchemy import Index, MetaData, Table
from sqlalchemy.schema import CreateIndex, CreateTable

from perdure_history.codec import FORMAT
from perdure_history.errors import ForeignDatabaseError, NewerSchemaError
from perdure_history.sql.dialect import Dialect
from perdure_history.sql.schema import metadata


class Migration(msgspec.Struct, frozen=True):
    """One step: what makes the schema's next version out of the one before."""

    version: int
    name: str
    statements: Callable[[Dialect], Sequence[str]]

    def checksum(self, dialect: Dialect) -> str:
        """SHA-256 (hex) of its statements; white space does not count, since compilers lay text out anew."""
        key = self.version, dialect.compiler.name
        found = _checksums.get(key)
        if found is None:
            text = "\n".join(" ".join(statement.split()) for statement in self.statements(dialect))
            found = _checksums[key] = sha256(text.encode()).hexdigest()
        return found


_checksums: dict[tuple[int, str], str] = {}


def _first_schema(dialect: Dialect) -> Sequence[str]:
    return [*_ddl(metadata, dialect), *dialect.guards(), *dialect.views()]


MIGRATIONS = (Migration(1, "the first schema", _first_schema),)
"""All steps, oldest first."""

KNOWN_VERSION = MIGRATIONS[-1].version


def migrate(connection: sqlite3.Connection, dialect: Dialect, *, url: str, now: int) -> None:
    """Bring the database to KNOWN_VERSION; writes nothing when it is there already.

    Raises ForeignDatabaseError, NewerSchemaError, sqlite3.Error; the database is then as it was.
    """
    if not pending(connection, dialect, url=url):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for migration in pending(connection, dialect, url=url):
            for statement in migration.statements(dialect):
                connection.execute(statement)
            connection.execute(
                "INSERT INTO perdure_schema (version, name, checksum, event_format, applied_at)"
                " VALUES (?, ?, ?, ?, ?)",
                (migration.version, migration.name, migration.checksum(dialect), FORMAT, now),
            )
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def schema_version(connection: sqlite3.Connection) -> int | None:
    """The version that the database has; None when it is none of ours."""
    if "perdure_schema" not in _our_tables(connection):
        return None
    row = connection.execute("SELECT max(version) FROM perdure_schema").fetchone()
    return None if row[0] is None else int(row[0])


def pending(connection: sqlite3.Connection, dialect: Dialect, *, url: str) -> Sequence[Migration]:
    """The steps that are still to be applied; nothing is changed.

    Raises ForeignDatabaseError, NewerSchemaError, sqlite3.Error.
    """
    ours = _our_tables(connection)
    if not ours:
        return MIGRATIONS
    if "perdure_schema" not in ours:
        raise ForeignDatabaseError(
            url, f"it has {', '.join(sorted(ours)[:3])} but no perdure_schema, so another program made them"
        )
    applied = dict(connection.execute("SELECT version, checksum FROM perdure_schema").fetchall())
    newest = max(applied, default=0)
    if newest > KNOWN_VERSION:
        raise NewerSchemaError(url, newest, KNOWN_VERSION)
    for migration in MIGRATIONS:
        recorded = applied.get(migration.version)
        if recorded is not None and recorded != migration.checksum(dialect):
            raise ForeignDatabaseError(
                url, f"step {migration.version} of its schema is not the one that perdure applies"
            )
    return tuple(migration for migration in MIGRATIONS if migration.version not in applied)


def _our_tables(connection: sqlite3.Connection) -> set[str]:
    rows = connection.execute(
        "SELECT name FROM sqlite_schema WHERE type IN ('table', 'view') AND name LIKE 'perdure\\_%' ESCAPE '\\'"
    )
    return {row[0] for row in rows}


def _ddl(tables: MetaData, dialect: Dialect) -> Iterator[str]:
    for table in tables.sorted_tables:
        yield str(CreateTable(table).compile(dialect=dialect.compiler))
        for index in _indexes(table):
            yield str(CreateIndex(index).compile(dialect=dialect.compiler))


def _indexes(table: Table) -> list[Index]:
    return sorted(table.indexes, key=lambda index: index.name or "")
