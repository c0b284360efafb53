"""What the demo shows while it runs: bars that move where rich and a terminal are, a line now and then elsewhere."""

import sys
import time
from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol, Self

LINE_EVERY_SECONDS = 1.0


class Seen(Protocol):
    """What the outside world has seen."""

    started: int
    approved: int
    done: set[tuple[str, str]]


class Screen:
    """A context manager; outside it nothing is drawn."""

    def __init__(self, *, orders: int, large: int) -> None:
        self.totals = {
            "started": orders,
            "approved": large,
            "charge": orders,
            "reserve": orders,
            "ship": orders,
            "completed": orders,
        }
        self._began = time.monotonic()
        self._last_line = 0.0
        self._bars: Any = None
        self._tasks: dict[str, Any] = {}

    def __enter__(self) -> Self:
        if sys.stdout.isatty():
            try:
                from rich.progress import (
                    BarColumn,
                    MofNCompleteColumn,
                    Progress,
                    TextColumn,
                    TimeElapsedColumn,
                )
            except ImportError:
                return self
            self._bars = Progress(
                TextColumn("{task.description:>10}"), BarColumn(50), MofNCompleteColumn(), TimeElapsedColumn()
            )
            self._tasks = {
                name: self._bars.add_task(name, total=total) for name, total in self.totals.items()
            }
            self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bars is not None:
            self._bars.stop()

    def say(self, text: str) -> None:
        """Print a line that stays."""
        elapsed = time.monotonic() - self._began
        print_line = print if self._bars is None else partial(self._bars.console.print, soft_wrap=True)
        print_line(f"{elapsed:6.2f} s  {text}")
        sys.stdout.flush()

    def show(self, seen: Seen, counts: Mapping[str, int]) -> None:
        """Show how far things are."""
        steps = dict.fromkeys(("charge", "reserve", "ship"), 0)
        for _, step in seen.done:
            steps[step] += 1
        values = {
            "started": seen.started,
            "approved": seen.approved,
            **steps,
            "completed": counts.get("completed", 0),
        }
        if self._bars is not None:
            for name, value in values.items():
                self._bars.update(self._tasks[name], completed=value)
            return
        now = time.monotonic()
        if now - self._last_line >= LINE_EVERY_SECONDS:
            self._last_line = now
            self.say("  ".join(f"{name} {value}/{self.totals[name]}" for name, value in values.items()))
