"""Durations as users write them."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.durations import LONGEST, to_microseconds, to_optional_microseconds, to_timedelta
from perdure.exceptions import DurationError, InvalidOptionError


@pytest.mark.parametrize(
    ("written", "microseconds"),
    [
        (timedelta(milliseconds=5), 5_000),
        ("30s", 30_000_000),
        ("1h30m", 5_400_000_000),
        ("1h 30m", 5_400_000_000),
        ("1.5s", 1_500_000),
        ("250ms", 250_000),
        ("7us", 7),
        ("2d", 172_800_000_000),
        ("1w", 604_800_000_000),
        (2, 2_000_000),
        (0.25, 250_000),
        (0, 0),
    ],
)
def test_each_way_to_write_a_duration_is_read(written, microseconds):
    assert to_microseconds(written) == microseconds


@given(st.timedeltas(timedelta(0), LONGEST))
def test_a_timedelta_is_kept_to_the_microsecond(duration):
    assert to_timedelta(duration) == duration


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("", "does not read"),
        ("30", "does not read"),
        ("s30", "does not read"),
        ("1h 30 parsecs", "does not read"),
        ("-5s", "does not read"),
        (timedelta(seconds=-1), "negative"),
        (-0.1, "negative"),
        (float("nan"), "not finite"),
        (float("inf"), "not finite"),
        (True, "it is a bool"),
        (None, "it is a NoneType"),
        (timedelta.max, "thousand years"),
        ("9" * 400 + "w", "thousand years"),
    ],
)
def test_what_is_no_duration_is_refused_with_the_name_of_the_option(written, why):
    with pytest.raises(DurationError, match=why) as caught:
        to_microseconds(written, "start_to_close_timeout")

    assert caught.value.option == "start_to_close_timeout"
    assert str(caught.value).startswith("start_to_close_timeout=")
    assert isinstance(caught.value, InvalidOptionError)


def test_no_duration_stays_none():
    assert to_optional_microseconds(None) is None
