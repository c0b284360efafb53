"""How things are printed: times, durations, tables, JSON, colour.

Colour and cutting to the screen's width only on a terminal; NO_COLOR turns colour off. What is piped is whole.
"""

import os
import shutil
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

import click
import msgspec

STATUS_COLOURS = {
    "running": "blue",
    "completed": "green",
    "fired": "green",
    "failed": "red",
    "timed out": "red",
    "timed_out": "red",
    "terminated": "red",
    "canceled": "yellow",
    "retrying": "yellow",
    "waiting": "blue",
    "undelivered": "yellow",
}


def on_terminal() -> bool:
    """Whether a person reads standard output."""
    return sys.stdout is not None and sys.stdout.isatty()  # None: the shell closed it, as in `>&-`


def say(text: str = "") -> None:
    """Print to standard output, in colour only where colour is wanted."""
    click.echo(text, color=False if "NO_COLOR" in os.environ or not on_terminal() else None)


def remark(text: str) -> None:
    """Print something that is not the answer: to standard error."""
    click.echo(text, err=True)


def coloured(status: str, text: str | None = None) -> str:
    """`text` (default: the status itself) in the colour of the status."""
    return click.style(status if text is None else text, fg=STATUS_COLOURS.get(status))


def iso(us: int | None) -> str | None:
    """ISO 8601 in UTC with microseconds, such as 2026-01-31T12:00:00.000000Z."""
    if us is None:
        return None
    whole, rest = divmod(us, 1_000_000)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{rest:06d}Z"


def moment(us: int | None) -> str:
    """A time for people: UTC, to the millisecond."""
    text = iso(us)
    return "" if text is None else f"{text[:10]} {text[11:23]}"


def duration(us: int | None) -> str:
    """A length of time for people: 850us, 12.3ms, 4.20s, 3m05s, 2h10m, 5d03h."""
    if us is None:
        return ""
    if us < 1_000:
        return f"{us}us"
    if us < 1_000_000:
        return f"{us / 1_000:.1f}ms"
    seconds = us / 1_000_000
    if seconds < 60:
        return f"{seconds:.2f}s"
    minutes, left = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes}m{left:02d}s"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours}h{minutes:02d}m"
    return f"{hours // 24}d{hours % 24:02d}h"


def compact(value: Any) -> str:
    """A JSON value on one line."""
    return msgspec.json.encode(value).decode()


def escaped(text: str) -> str:
    r"""`text` on one line, every blank as it is; what would move the cursor or the line is written as \n, \x1b."""
    if text.isprintable():
        return text
    return "".join(
        char.encode("unicode_escape").decode() if _steers_terminal(char) else char for char in text
    )


def _steers_terminal(char: str) -> bool:
    if unicodedata.category(char) in {"Cc", "Zl", "Zp", "Cs"}:
        return True
    return "\u202a" <= char <= "\u202e" or "\u2066" <= char <= "\u2069"  # they turn the direction of writing


def fitted(text: str, width: int = 72) -> str:
    """`text` escaped to one line; on a terminal cut to `width` characters, otherwise whole."""
    line = escaped(text)
    if on_terminal() and len(line) > width:
        return line[: width - 3] + "..."
    return line


def say_json(value: Any) -> None:
    """Print a JSON document, indented for a person and on one line for a program."""
    text = msgspec.json.encode(value)
    if on_terminal():
        text = msgspec.json.format(text, indent=2)
    say(text.decode())


def say_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print aligned columns; a row is cut to the screen only on a terminal."""
    lines = [tuple(headings), *(tuple(row) for row in rows)]
    widths = [max(len(click.unstyle(line[column])) for line in lines) for column in range(len(headings))]
    screen = shutil.get_terminal_size().columns if on_terminal() else None
    for number, line in enumerate(lines):
        padded = (
            cell + " " * (width - len(click.unstyle(cell))) for cell, width in zip(line, widths, strict=True)
        )
        text = "  ".join(padded).rstrip()
        if screen is not None and len(click.unstyle(text)) > screen:
            text = click.unstyle(text)[: screen - 3] + "..."
        say(click.style(text, bold=True) if number == 0 else text)
