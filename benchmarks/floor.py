"""The raw floor: what the disk and the standard library's sqlite3 allow for the same rows.

It reads the rows that perdure wrote in the same round and writes them again into a new file on the same
filesystem: one thread, one connection, prepared statements, WAL with synchronous=FULL, the same tables without
triggers and secondary indexes. What runs at the same time shares a commit: the n-th turns of all runs of a
group (at most `COMMIT_TURNS`), which is the best that group commit can do. Nothing is computed, checked or
hashed, so no engine that makes these rows durable one commit a turn can be faster.
"""

import itertools
import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.timing import percentile

COMMIT_TURNS = 1_000
"""Turns in one commit at most: about what a group's limit in bytes admits."""

TABLES = ("perdure_history", "perdure_runs", "perdure_inbox")
SIGNAL = "WorkflowExecutionSignaled"


class Stored(NamedTuple):
    """One event row, with where it belongs."""

    group: str
    """What ran at the same time: the part of the workflow id before its first dash."""
    step: int
    """0 for what the client wrote, otherwise the turn."""
    run_id: str
    columns: tuple[object, ...]


class Batch(NamedTuple):
    """What one commit writes."""

    group: str
    step: int
    new_runs: list[tuple[object, ...]]
    messages: list[tuple[object, ...]]
    events: list[tuple[object, ...]]
    closed: list[tuple[str]]


class Commit(NamedTuple):
    """How long one took."""

    group: str
    step: int
    seconds: float


def measure(folder: Path, *, source: str, summary: str, count: int = 0) -> dict[str, float]:
    """Figures of the floor in the names of the workload's own: see `SUMMARIES`."""
    origin = sqlite3.connect(source)
    if summary == "read":
        return _read_back(origin)
    batches = list(_batches(origin))
    target = _open(folder / "floor.db", origin)
    return SUMMARIES[summary]([_commit(target, batch) for batch in batches], count)


def _open(path: Path, origin: sqlite3.Connection) -> sqlite3.Connection:
    target = sqlite3.connect(path, isolation_level=None)
    target.execute("PRAGMA journal_mode=WAL")
    target.execute("PRAGMA synchronous=FULL")
    for (statement,) in origin.execute(
        f"SELECT sql FROM sqlite_master WHERE type='table' AND name IN ({_marks(TABLES)})", TABLES
    ):
        target.execute(statement)
    return target


def _marks(values: Iterable[object]) -> str:
    return ",".join("?" for _ in values)


def _batches(origin: sqlite3.Connection) -> Iterator[Batch]:
    """Commits in the order in which a run makes them; a group's n-th turns together."""
    runs = {
        row[0]: row[1:]
        for row in origin.execute(
            "SELECT run_id, substr(workflow_id, 1, instr(workflow_id, '-') - 1), * FROM perdure_runs"
        )
    }
    steps: dict[tuple[str, int], list[Stored]] = defaultdict(list)
    for row in origin.execute(
        "SELECT run_id, seq, turn, type, recorded_at, actor, attributes, hash FROM perdure_history ORDER BY rowid"
    ):
        group = runs[row[0]][0]
        if group == "warm":
            continue
        step = 0 if row[1] == 1 else row[2]
        steps[group, step].append(Stored(group, step, row[0], row))
    # Groups of workflow ids "<repeat>-<slot>" follow one another.
    for (group, step), rows in sorted(steps.items(), key=lambda item: (int(item[0][0]), item[0][1])):
        by_run = [
            list(members)
            for _, members in itertools.groupby(sorted(rows, key=lambda r: r.run_id), lambda r: r.run_id)
        ]
        for start in range(0, len(by_run), COMMIT_TURNS):
            turns = by_run[start : start + COMMIT_TURNS]
            yield _batch(group, step, turns, runs)


def _batch(group: str, step: int, turns: list[list[Stored]], runs: dict[str, tuple[object, ...]]) -> Batch:
    events = [row.columns for turn in turns for row in turn]
    return Batch(
        group,
        step,
        [runs[turn[0].run_id][1:] for turn in turns] if step == 0 else [],
        [(row[0], row[3], row[6], f"{row[1]}", row[5], row[4]) for row in events if row[3] == SIGNAL],
        events,
        [(turn[0].run_id,) for turn in turns if turn[-1].columns[3] == "WorkflowExecutionCompleted"],
    )


def _commit(target: sqlite3.Connection, batch: Batch) -> Commit:
    """Write a batch. Messages are accepted in a commit of their own before a turn takes them."""
    began = time.perf_counter()
    if batch.messages:
        target.execute("BEGIN IMMEDIATE")
        target.executemany(
            "INSERT INTO perdure_inbox (run_id, type, attributes, request_id, actor, sent_at) VALUES (?,?,?,?,?,?)",
            batch.messages,
        )
        target.execute("COMMIT")
    target.execute("BEGIN IMMEDIATE")
    if batch.new_runs:
        target.executemany(f"INSERT INTO perdure_runs VALUES ({_marks(batch.new_runs[0])})", batch.new_runs)
    if batch.messages:
        target.executemany(
            "DELETE FROM perdure_inbox WHERE run_id=? AND request_id=?",
            [(row[0], row[3]) for row in batch.messages],
        )
    target.executemany(
        "INSERT INTO perdure_history (run_id, seq, turn, type, recorded_at, actor, attributes, hash) VALUES (?,?,?,?,?,?,?,?)",
        batch.events,
    )
    if batch.closed:
        target.executemany(
            "UPDATE perdure_runs SET owner=NULL, wake_at=NULL, open_id=NULL WHERE run_id=?", batch.closed
        )
    target.execute("COMMIT")
    return Commit(batch.group, batch.step, time.perf_counter() - began)


def _rate(commits: list[Commit], count: int) -> dict[str, float]:
    """`count` things were done in all commits together."""
    return {"per_second": count / sum(commit.seconds for commit in commits), "commits": len(commits)}


def _latency(commits: list[Commit], count: int) -> dict[str, float]:
    """A group is one run: its commits, one after the other."""
    taken: dict[str, float] = defaultdict(float)
    for commit in commits:
        taken[commit.group] += commit.seconds * 1e3
    return {"p50_ms": percentile(list(taken.values()), 0.5), "p99_ms": percentile(list(taken.values()), 0.99)}


def _phases(commits: list[Commit], count: int) -> dict[str, float]:
    """Sleepers: the start and the first turn, then the turn in which the timer fires."""
    start = sum(commit.seconds for commit in commits if commit.step <= 1)
    wake = sum(commit.seconds for commit in commits if commit.step > 1)
    return {"start_per_second": count / start, "wake_per_second": count / wake}


def _read_back(origin: sqlite3.Connection) -> dict[str, float]:
    """Reading a run's rows, in order, into tuples: what any recovery does at least."""
    (run_id,) = origin.execute("SELECT run_id FROM perdure_runs WHERE workflow_id='0-0'").fetchone()
    began = time.perf_counter()
    rows = origin.execute(
        "SELECT seq, turn, type, attributes, recorded_at, actor, hash FROM perdure_history WHERE run_id=? ORDER BY seq",
        (run_id,),
    ).fetchall()
    seconds = time.perf_counter() - began
    return {"worker_s": seconds, "events_per_second": len(rows) / seconds}


SUMMARIES = {"rate": _rate, "latency": _latency, "phases": _phases}
