"""Durations as users write them -> integer microseconds."""

import math
import re
from datetime import timedelta
from typing import TypeAlias

from perdure.exceptions import DurationError

Duration: TypeAlias = timedelta | str | float
"""A timedelta, a text such as ``"30s"``, ``"1h30m"`` or ``"250ms"``, or a number of seconds."""

LONGEST = timedelta(days=365_250)
"""One thousand years: due times stay within what `datetime` can show."""

_MICROSECOND = timedelta(microseconds=1)
_PART = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(us|ms|s|m|h|d|w)\s*")
_UNITS = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
    "w": 604_800_000_000,
}
_LONGEST_US = LONGEST // _MICROSECOND


def to_microseconds(duration: Duration, name: str = "duration") -> int:
    """The duration in microseconds, rounded to the nearest.

    `name` is what the user calls it, for the message of DurationError, which is raised when the duration is
    negative, longer than a thousand years, not a number, or of another type.
    """
    if isinstance(duration, timedelta):
        us = duration // _MICROSECOND
    elif isinstance(duration, str):
        us = _parse(duration, name)
    elif isinstance(duration, bool) or not isinstance(duration, (int, float)):  # pyright: ignore[reportUnnecessaryIsInstance]  users without a type checker
        raise DurationError(name, duration, f"it is a {type(duration).__name__}")
    elif not math.isfinite(duration):
        raise DurationError(name, duration, "it is not finite")
    else:
        us = round(duration * 1_000_000)
    if us < 0:
        raise DurationError(name, duration, "it is negative")
    if us > _LONGEST_US:
        raise DurationError(name, duration, "it is longer than a thousand years")
    return us


def to_optional_microseconds(duration: Duration | None, name: str = "duration") -> int | None:
    """As `to_microseconds`; None stays None."""
    return None if duration is None else to_microseconds(duration, name)


def to_timedelta(duration: Duration, name: str = "duration") -> timedelta:
    """The duration as a timedelta, checked as by `to_microseconds`."""
    return timedelta(microseconds=to_microseconds(duration, name))


def from_optional_microseconds(us: int | None) -> timedelta | None:
    """A recorded duration as users see it."""
    return None if us is None else timedelta(microseconds=us)


def _parse(text: str, name: str) -> int:
    at, total = 0, 0.0
    while at < len(text):
        part = _PART.match(text, at)
        if part is None:
            break
        total += float(part[1]) * _UNITS[part[2]]
        at = part.end()
    if at == 0 or at < len(text):
        raise DurationError(name, text, "it does not read as numbers with units")
    return round(min(total, 2.0 * _LONGEST_US))
