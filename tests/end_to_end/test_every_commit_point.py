"""Kill the process at any commit point and start it again: same result, nothing lost, nothing twice.

The scenario has activities of both kinds, a retry, timers, a fan-out, signals and cancellations. A first, quiet
run of it counts how often each named point of the store is reached; then each point is the place of a SIGKILL,
each of its occurrences in turn.
"""

import shutil
from pathlib import Path

import pytest

from tests.checker import check
from tests.end_to_end.acks import read_acks
from tests.end_to_end.processes import LONG, Nursery, nursery
from tests.end_to_end.programs import Outcome, Place, play
from tests.end_to_end.replaying import replay_everything
from tests.end_to_end.tables import integrity, read_tables

EXPECTED = Outcome(
    kitchen=("async", "sync", "flaky", "left", "right", "canceled", "first", "second"),
    cancelable="CancelledError",
)


def quiet_counts(children: Nursery, place: Place) -> dict[str, int]:
    """How often each point is reached without a crash, checked to be a healthy run."""
    counts, outcome = children.start(play, place, None).hear()
    assert outcome == EXPECTED
    assert check(read_tables(place.database), read_acks(place.folder)) == []
    return counts


def crash_and_restart(children: Nursery, place: Place, kill: tuple[str, int]) -> bool:
    """Whether the crash came about; asserts all promises either way."""
    crashed = children.start(play, place, kill)
    killed = crashed.join(LONG) < 0
    before = read_tables(place.database) if killed and has_tables(place.database) else None

    outcome = EXPECTED
    if killed:
        _, outcome = children.start(play, place, None).hear()
    after = read_tables(place.database)

    assert outcome == EXPECTED, kill
    assert check(after, read_acks(place.folder), earlier=before) == [], kill
    assert integrity(place.database) == "ok"
    replay_everything(after)
    return killed


def has_tables(database: Path) -> bool:
    """A kill may come before the first migration has landed."""
    try:
        read_tables(database)
    except Exception:
        return False
    return True


def places_of_kills(counts: dict[str, int]) -> list[tuple[str, int]]:
    return [(point, nth) for point in sorted(counts) for nth in range(1, counts[point] + 1)]


def kill_at(kills: list[tuple[str, int]], children: Nursery, folder: Path) -> int:
    """Crash at each of these places, each in a database of its own; how many crashes came about."""
    came = 0
    for number, kill in enumerate(kills):
        here = folder / str(number)
        here.mkdir()
        came += crash_and_restart(children, Place(here), kill)
        shutil.rmtree(here)
    return came


@pytest.mark.slow
@pytest.mark.timeout(280)
def test_a_kill_at_any_commit_point_changes_nothing(tmp_path, figure):
    with nursery() as children:
        (tmp_path / "quiet").mkdir()
        kills = places_of_kills(quiet_counts(children, Place(tmp_path / "quiet")))
        came = kill_at(kills, children, tmp_path)
    figure(
        f"SIGKILL at every commit point: {len(kills)} places, {came} crashes, all recovered, 0 lost, 0 twice"
    )
    # Turns group differently from run to run, so the last occurrences of a point may not come about.
    assert came >= len(kills) * 0.7


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_kill_at_any_commit_point_changes_nothing_20_times_over(tmp_path, figure):
    with nursery() as children:
        (tmp_path / "quiet").mkdir()
        kills = 20 * places_of_kills(quiet_counts(children, Place(tmp_path / "quiet")))
        came = kill_at(kills, children, tmp_path)
    figure(f"SIGKILL at every commit point, 20 times: {len(kills)} tries, {came} crashes, all recovered")
    assert came >= len(kills) * 0.7
