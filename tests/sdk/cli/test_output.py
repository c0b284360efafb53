"""Times and lengths of time as people and programs read them."""

import pytest

from perdure.cli._output import duration, escaped, fitted, iso


@pytest.mark.parametrize(
    ("us", "text"),
    [
        (850, "850us"),
        (12_340, "12.3ms"),
        (4_200_000, "4.20s"),
        (185_000_000, "3m05s"),
        (7_800_000_000, "2h10m"),
        (442_800_000_000, "5d03h"),
        (None, ""),
    ],
)
def test_a_duration_is_told_in_the_unit_that_fits(us, text):
    assert duration(us) == text


def test_times_are_iso_8601_in_utc_to_the_microsecond():
    assert iso(1_700_000_000_000_007) == "2023-11-14T22:13:20.000007Z"
    assert iso(None) is None


def test_nothing_is_cut_in_a_pipe():
    assert fitted("word " * 100) == "word " * 100


def test_blanks_stay_and_what_would_move_the_cursor_is_escaped():
    assert escaped("a  b   c é 漢\u3000字") == "a  b   c é 漢\u3000字"
    assert escaped("a\nb\tc\x1b[2J\u2028\u202e") == "a\\nb\\tc\\x1b[2J\\u2028\\u202e"
