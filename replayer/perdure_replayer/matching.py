"""Pairs the commands that code issued with the events that history recorded: the only place that says "diverged"."""

from collections.abc import Sequence
from dataclasses import dataclass

from perdure_replayer.commands import show_event
from perdure_replayer.history import HistoryEvent
from perdure_replayer.journal import Issued


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first event of a turn at which code and history disagree."""

    seq: int
    recorded: str
    issued: str
    place: str
    """file:line of the code that asked; empty when it asked for nothing, or nobody traced it."""


def find_divergence(
    issued: Sequence[Issued], recorded: Sequence[HistoryEvent], *, next_seq: int
) -> Divergence | None:
    """Compare one turn's commands, in order; None when they are the same. `next_seq` follows the turn."""
    for (command, _, place), row in zip(issued, recorded, strict=False):
        if not command.matches(row.event):
            return Divergence(row.seq, show_event(row.event), str(command), place)
    if len(issued) == len(recorded):
        return None
    if len(issued) > len(recorded):
        command, _, place = issued[len(recorded)]
        return Divergence(next_seq, "nothing", str(command), place)
    missing = recorded[len(issued)]
    return Divergence(missing.seq, show_event(missing.event), "nothing", "")
