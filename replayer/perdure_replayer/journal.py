"""The commands that workflow code issued in the turn being computed, in order."""

from collections.abc import Callable
from contextvars import Context
from typing import Any

from perdure_replayer.commands import Command, StartTimer
from perdure_replayer.definition import Converter
from perdure_replayer.explain import find_caller
from perdure_replayer.loop import WorkflowLoop
from perdure_replayer.machines import Machine, TimerMachine

# A plain tuple: one is made for each command, and a named one costs ten times as much.
Issued = tuple[Command, Machine | None, str]
"""A command, the machine that waits for its outcome, and file:line of the workflow code that issued it (empty
unless the journal traces)."""


class Journal:
    """Collects commands; emptied at the end of each turn."""

    __slots__ = ("_entries", "converter", "loop", "numbered", "tracing")

    def __init__(self, loop: WorkflowLoop, converter: Converter) -> None:
        self.loop = loop
        self.converter = converter
        self.numbered = 0
        """Number of the last activity command of the run."""
        self.tracing = False
        """Note where each command is issued. Slow: for explaining a divergence."""
        self._entries: list[Issued] = []

    def issue(self, command: Command, machine: Machine | None, *, place: str = "") -> None:
        """Add a command to this turn; `place` is noted where the journal traces and no code is running."""
        self._entries.append((command, machine, find_caller() or place if self.tracing else ""))

    def start_timer(
        self,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        *,
        context: Context,
        delay_us: int,
        summary: str = "",
    ) -> TimerMachine:
        """Issue a timer that calls back in the turn in which it fires."""
        when = (self.loop.turn_time + delay_us) / 1_000_000
        timer = TimerMachine(self, callback, args, context=context, when=when)
        self.issue(StartTimer(delay_us, summary), timer)
        return timer

    def take(self) -> list[Issued]:
        """This turn's commands, without those that were cancelled in it; the journal is empty afterwards."""
        entries = self._entries
        self._entries = []
        for _, machine, _ in entries:
            if machine is not None and machine.dropped:
                return [entry for entry in entries if entry[1] is None or not entry[1].dropped]
        return entries
