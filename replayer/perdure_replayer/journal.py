"""The commands that workflow code issued in the turn being computed, in order."""

from collections.abc import Callable
from contextvars import Context
from typing import Any, NamedTuple

from perdure_replayer.commands import Command, StartTimer
from perdure_replayer.definition import Converter
from perdure_replayer.explain import find_caller
from perdure_replayer.loop import WorkflowLoop
from perdure_replayer.machines import Machine, TimerMachine


class Issued(NamedTuple):
    """A command, the machine that waits for its outcome, and where it was issued."""

    command: Command
    machine: Machine | None
    place: str
    """file:line of workflow code; empty unless the journal traces."""


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

    def issue(self, command: Command, machine: Machine | None) -> None:
        """Add a command to this turn."""
        self._entries.append(Issued(command, machine, find_caller() if self.tracing else ""))

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
        for entry in entries:
            if entry.machine is not None and entry.machine.dropped:
                return [one for one in entries if one.machine is None or not one.machine.dropped]
        return entries
