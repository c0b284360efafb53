"""Replays what was recorded in the crash tests, by the code that the workers ran."""

from perdure.converter import DataConverter
from perdure.definitions import workflow_definition
from perdure_history.records import EventRow, RunRecord
from perdure_history.verification import verify_rows
from perdure_replayer.rebuild import Rebuild
from perdure_replayer.turn import LiveRun
from tests.checker import Dump
from tests.end_to_end import flows

_DEFINITIONS = {one.name: one for one in map(workflow_definition, flows.WORKFLOWS)}


def replay_everything(dump: Dump, *, prefixes_of: int = 50) -> int:
    """Replay every history whole, and some of them up to each turn; how many events that were.

    Raises NonDeterminismError and whatever else replay or the verification finds.
    """
    events = 0
    for number, run in enumerate(dump.runs):
        rows = list(dump.history[run.run_id])
        assert verify_rows(run.run_id, rows, closed_status=run.status if run.closed_at else None) == []
        events += _replay(run, rows)
        if number % max(1, len(dump.runs) // prefixes_of) == 0:
            events += sum(_replay(run, rows[:length]) for length in _ends_of_turns(rows))
    return events


def _ends_of_turns(rows: list[EventRow]) -> list[int]:
    """Lengths of the prefixes behind which another turn begins."""
    turn, ends = 1, []
    for length, row in enumerate(rows):
        if row.turn is not None and row.turn > turn:
            turn = row.turn
            ends.append(length)
    return ends


def _replay(run: RunRecord, rows: list[EventRow]) -> int:
    live = LiveRun(run.run_id, _DEFINITIONS[run.workflow_type], DataConverter.default)
    rebuild = Rebuild(live)
    rebuild.feed(rows)
    rebuild.finish()
    live.evict()
    return len(rows)
