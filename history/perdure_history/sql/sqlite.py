"""SQLite's ways: its triggers, its audit view, its errors."""

import sqlite3
from collections.abc import Sequence

from sqlalchemy.dialects.sqlite.base import SQLiteDialect
from sqlalchemy.engine import Dialect as CompilerDialect

from perdure_history.sql.dialect import Trouble

_PRIMARY = 0xFF
"""The low byte of an extended result code is its kind."""

_TROUBLES = {
    sqlite3.SQLITE_BUSY: Trouble.BUSY,
    sqlite3.SQLITE_LOCKED: Trouble.BUSY,
    sqlite3.SQLITE_PROTOCOL: Trouble.BUSY,
    sqlite3.SQLITE_CONSTRAINT: Trouble.DUPLICATE,
    sqlite3.SQLITE_NOTADB: Trouble.FOREIGN,
    sqlite3.SQLITE_CORRUPT: Trouble.FOREIGN,
    sqlite3.SQLITE_FULL: Trouble.UNAVAILABLE,
    sqlite3.SQLITE_IOERR: Trouble.UNAVAILABLE,
    sqlite3.SQLITE_CANTOPEN: Trouble.UNAVAILABLE,
    sqlite3.SQLITE_READONLY: Trouble.UNAVAILABLE,
    sqlite3.SQLITE_PERM: Trouble.UNAVAILABLE,
    sqlite3.SQLITE_TOOBIG: Trouble.BAD_VALUE,
    sqlite3.SQLITE_MISMATCH: Trouble.BAD_VALUE,
}

# INSERT OR REPLACE deletes the old row without asking the DELETE trigger (unless recursive_triggers is on),
# hence the third: no row may come where one is.
_GUARDS = (
    """
    CREATE TRIGGER perdure_history_no_update BEFORE UPDATE ON perdure_history
    BEGIN SELECT RAISE(ABORT, 'perdure_history is INSERT-only: a recorded event never changes'); END
    """,
    """
    CREATE TRIGGER perdure_history_no_delete BEFORE DELETE ON perdure_history
    WHEN NOT EXISTS (SELECT 1 FROM perdure_retention_door WHERE run_id = OLD.run_id)
    BEGIN SELECT RAISE(ABORT, 'perdure_history is INSERT-only: only retention deletes, and whole runs'); END
    """,
    """
    CREATE TRIGGER perdure_history_no_replace BEFORE INSERT ON perdure_history
    WHEN EXISTS (SELECT 1 FROM perdure_history WHERE run_id = NEW.run_id AND seq = NEW.seq)
    BEGIN SELECT RAISE(ABORT, 'perdure_history is INSERT-only: this event is recorded already'); END
    """,
)

_AUDIT = """
    CREATE VIEW perdure_audit AS
    SELECT
        strftime('%Y-%m-%dT%H:%M:%S', h.recorded_at / 1000000, 'unixepoch')
            || printf('.%06dZ', h.recorded_at % 1000000) AS recorded_at,
        r.namespace AS namespace,
        r.workflow_id AS workflow_id,
        r.workflow_type AS workflow_type,
        h.run_id AS run_id,
        h.seq AS seq,
        h.turn AS turn,
        h.type AS type,
        h.actor AS actor,
        json_extract(h.attributes, '$.reason') AS reason,
        coalesce(json_extract(h.attributes, '$.activity_type'),
                 json_extract(s.attributes, '$.activity_type')) AS activity_type,
        json_extract(h.attributes, '$.scheduled_seq') AS scheduled_seq,
        CASE WHEN h.type IN ('ActivityTaskCompleted', 'ActivityTaskFailed', 'ActivityTaskTimedOut',
                             'ActivityTaskCanceled', 'ActivityTaskAttemptFailed')
             THEN coalesce(json_extract(h.attributes, '$.attempt'), 1) END AS attempt,
        json_extract(h.attributes, '$.signal_name') AS signal_name,
        json_extract(h.attributes, '$.failure.message') AS failure,
        h.attributes AS attributes,
        lower(hex(h.hash)) AS hash
    FROM perdure_history h
    LEFT JOIN perdure_runs r ON r.run_id = h.run_id
    LEFT JOIN perdure_history s
        ON s.run_id = h.run_id AND s.seq = json_extract(h.attributes, '$.scheduled_seq')
    """


class SqliteDialect:
    """See `dialect.Dialect`."""

    def __init__(self) -> None:
        self._compiler = SQLiteDialect(paramstyle="qmark")

    @property
    def compiler(self) -> CompilerDialect:
        """With question marks for parameters."""
        return self._compiler

    def classify(self, error: BaseException) -> Trouble:
        """Judge by SQLite's result code."""
        if not isinstance(error, sqlite3.Error):
            return Trouble.BAD_VALUE
        code: int | None = getattr(error, "sqlite_errorcode", None)
        if code is not None:
            return _TROUBLES.get(code & _PRIMARY, Trouble.UNAVAILABLE)
        if isinstance(error, (sqlite3.OperationalError, sqlite3.InternalError)):
            return Trouble.UNAVAILABLE
        # The driver itself refused a value (a number beyond 64 bits, a type it does not know).
        return Trouble.BAD_VALUE

    def guards(self) -> Sequence[str]:
        """Three triggers."""
        return _GUARDS

    def views(self) -> Sequence[str]:
        """The audit view."""
        return (_AUDIT,)
