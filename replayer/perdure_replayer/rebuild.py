"""Brings a live run to the end of a stored history, page by page, and finds a turn left open there.

A turn is *open* when its inputs are recorded but its code has not run, or has failed: the first turn while
nothing but WorkflowExecutionStarted is recorded, and a last turn whose newest row is followed by a
WorkflowTaskFailed note. An open turn is not replayed: it is computed (again) by `LiveRun.advance`.
"""

from collections.abc import Sequence

from perdure_history.chain import GENESIS, event_hash
from perdure_history.codec import decode_event
from perdure_history.errors import CorruptHistoryError
from perdure_history.events import WorkflowExecutionStarted, WorkflowTaskFailed
from perdure_history.records import EventRow
from perdure_replayer.turn import HistoryEvent, LiveRun


class Rebuild:
    """Feeds a run's rows, oldest first and in any portions, to a `LiveRun`; then `finish` it."""

    def __init__(self, live: LiveRun) -> None:
        self.live = live
        self.head_seq = 0
        self.head_hash = GENESIS
        self._last_turn: list[HistoryEvent] = []
        """The newest turn seen, with notes among and behind it: whole only when the next one begins."""

    def feed(self, rows: Sequence[EventRow]) -> None:
        """Check that `rows` chain to what was fed before, and replay the turns that they complete.

        Raises CorruptHistoryError, NonDeterminismError.
        """
        run_id = self.live.run_id
        complete: list[HistoryEvent] = []
        last_turn = self._last_turn
        current = last_turn[0].turn if last_turn else None
        previous, seq = self.head_hash, self.head_seq
        for row in rows:
            seq += 1
            if row.seq != seq:
                raise CorruptHistoryError(run_id, seq, f"it is missing: the next recorded event is {row.seq}")
            previous = event_hash(
                previous, run_id, seq, row.turn, row.type, row.actor, row.recorded_at, row.attributes
            )
            if previous != row.hash:
                raise CorruptHistoryError(
                    run_id, seq, "its hash does not fit its content and the event before it"
                )
            event = decode_event(row.type, row.attributes, run_id=run_id, seq=seq)
            if row.turn is not None and row.turn != current:
                complete += last_turn
                last_turn = []
                current = row.turn
            last_turn.append(HistoryEvent(seq, row.turn, row.recorded_at, event))
        self._last_turn = last_turn
        self.head_seq, self.head_hash = seq, previous
        if complete:
            self.live.replay(complete)

    def finish(self) -> tuple[HistoryEvent, ...]:
        """Replay the last turn, or give back the inputs of a turn that is open (with its notes taken in)."""
        last_turn, self._last_turn = self._last_turn, []
        if not _is_open(last_turn):
            if last_turn:
                self.live.replay(last_turn)
            return ()
        self.live.take_open(last_turn)
        return tuple(entry for entry in last_turn if entry.turn is not None)


def _is_open(last_turn: Sequence[HistoryEvent]) -> bool:
    in_turn = [entry for entry in last_turn if entry.turn is not None]
    if len(in_turn) == 1 and isinstance(in_turn[0].event, WorkflowExecutionStarted):
        return True
    failed = (entry.seq for entry in last_turn if isinstance(entry.event, WorkflowTaskFailed))
    return bool(in_turn) and max(failed, default=0) > in_turn[-1].seq
