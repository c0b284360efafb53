"""Replay alone: a stored history through the replayer, without a store, a worker or an event loop.

The history is a real one; only the replay itself looks below the public API.
"""

import sqlite3
import statistics
import time
from pathlib import Path

from benchmarks.on_perdure.opening import FILE, run
from benchmarks.on_perdure.steps import execute, noop, sequence
from perdure import Client
from perdure.converter import DataConverter
from perdure.definitions import workflow_definition
from perdure_history.codec import decode_event
from perdure_replayer.turn import HistoryEvent, LiveRun

Row = tuple[int, int | None, int, str, str]


def measure(folder: Path, *, events: int, repeats: int) -> dict[str, float]:
    async def main(client: Client) -> dict[str, float]:
        # Two events a step, one at the start and one at the end.
        await execute(client, "0-0", steps=events // 2 - 1)
        return {}

    run(folder, main, workflows=[sequence], activities=[noop])
    run_id, rows = stored_rows(folder / FILE)
    assert len(rows) == events
    decoding: list[float] = []
    replaying: list[float] = []
    for _ in range(repeats):
        began = time.perf_counter()
        history = [
            HistoryEvent(seq, turn, at, decode_event(kind, text)) for seq, turn, at, kind, text in rows
        ]
        decoded = time.perf_counter()
        live = LiveRun(run_id, workflow_definition(sequence), DataConverter.default)
        live.replay(history)
        replayed = time.perf_counter()
        assert live.closed
        live.evict()
        decoding.append(decoded - began)
        replaying.append(replayed - decoded)
    both = statistics.median(one + other for one, other in zip(decoding, replaying, strict=True))
    return {"rows_per_second": events / both, "events_per_second": events / statistics.median(replaying)}


def stored_rows(file: Path) -> tuple[str, list[Row]]:
    """The only run of the file, and its rows in order."""
    with sqlite3.connect(file) as database:
        (run_id,) = database.execute("SELECT run_id FROM perdure_runs").fetchone()
        rows = database.execute(
            "SELECT seq, turn, recorded_at, type, attributes FROM perdure_history ORDER BY seq"
        ).fetchall()
    return run_id, rows
