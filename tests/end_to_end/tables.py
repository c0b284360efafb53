"""Read all tables of a SQLite file into a dump, with nothing of the engine but its structs."""

import sqlite3
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import msgspec

from perdure_history.ids import RunId
from perdure_history.records import EventRow, Message, RunRecord, RunStatus, WorkerRecord
from tests.checker import Dump

ROOT = Path(__file__).parents[2]


def read_tables(path: Path) -> Dump:
    """The tables of a file that this process does not have open through another copy of SQLite.

    SQLite's locks are POSIX locks, which a process loses when any of its handles of the file is closed; the
    library takes care of that only within itself. `read_tables_apart` is always safe.
    """
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        database.row_factory = sqlite3.Row
        database.execute("BEGIN")
        history: dict[str, list[EventRow]] = defaultdict(list)
        for row in database.execute("SELECT * FROM perdure_history ORDER BY run_id, seq"):
            history[row["run_id"]].append(_struct(EventRow, row))
        return Dump(
            runs=tuple(_struct(RunRecord, row) for row in database.execute("SELECT * FROM perdure_runs")),
            history=dict(history),
            inbox=tuple(
                _struct(Message, row) for row in database.execute("SELECT * FROM perdure_inbox ORDER BY id")
            ),
            workers=tuple(
                _struct(WorkerRecord, row) for row in database.execute("SELECT * FROM perdure_workers")
            ),
            now=time.time_ns() // 1000,
        )
    finally:
        database.close()


def read_tables_apart(path: Path) -> Dump:
    """The tables, read by a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.end_to_end.tables", str(path)],
        cwd=ROOT,
        env={"PYTHONPATH": python_path()},
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return msgspec.msgpack.decode(done.stdout, type=Dump)


def python_path() -> str:
    """What a child process needs to import the packages and the tests of this tree."""
    return ":".join(str(ROOT / part) for part in ("sdk", "replayer", "history", ""))


def integrity(path: Path) -> str:
    """SQLite's own verdict on the file: "ok"."""
    database = sqlite3.connect(path)
    try:
        return str(database.execute("PRAGMA integrity_check").fetchone()[0])
    finally:
        database.close()


def _struct(cls: Any, row: sqlite3.Row) -> Any:
    values = {name: row[name] for name in cls.__struct_fields__ if name in row.keys()}  # noqa: SIM118  not a dict
    if cls is RunRecord:
        values["status"] = RunStatus(values["status"])
    if "run_id" in values:
        values["run_id"] = RunId(values["run_id"])
    return cls(**values)


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.msgpack.encode(read_tables(Path(sys.argv[1]))))
