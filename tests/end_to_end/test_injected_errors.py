"""The database fails at each point in turn, in one process: same result, nothing lost, nothing twice.

Three ways to fail: another has the lock, the disk gives an error, and a COMMIT that happened is not answered.
"""

import sqlite3
from collections.abc import Iterator

import pytest

from perdure.exceptions import PerdureError
from perdure_history.errors import HistoryError
from tests.checker import check
from tests.end_to_end.acks import read_acks
from tests.end_to_end.programs import Count, Outcome, Place, scenario
from tests.end_to_end.tables import read_tables
from tests.end_to_end.test_every_commit_point import EXPECTED, places_of_kills

BUSY, BROKEN = sqlite3.SQLITE_BUSY, sqlite3.SQLITE_IOERR
IN_CI = 50
"""Errors of each kind in the short version; the soak has all."""


class FailAt:
    """A fault hook that raises an error of SQLite's when a named point is reached for the n-th time, once."""

    def __init__(self, point: str, occurrence: int, code: int) -> None:
        self.point = point
        self.left = occurrence
        self.code = code

    @property
    def came(self) -> bool:
        return self.left <= 0

    def __call__(self, point: str) -> None:
        if point != self.point:
            return
        self.left -= 1
        if self.left == 0:
            error = sqlite3.OperationalError(f"injected at {point}")
            error.sqlite_errorcode = self.code
            raise error


async def persistent_scenario(place: Place, faults: FailAt) -> Outcome:
    """The scenario, run again by its user when the database's trouble reached him."""
    for _ in range(4):
        try:
            return await scenario(place, faults=faults)
        except (HistoryError, PerdureError):
            if not faults.came:
                raise
    raise AssertionError("the trouble did not end")


async def all_places(folder: Place) -> list[tuple[str, int]]:
    counted = Count()
    assert await scenario(folder, faults=counted) == EXPECTED
    return places_of_kills(counted.seen)


def fresh_places(folder) -> Iterator[Place]:
    number = 0
    while True:
        here = folder / f"place-{number}"
        here.mkdir()
        yield Place(here)
        number += 1


async def fail_everywhere(folder, figure, *, code: int, most: int | None) -> None:
    fresh = fresh_places(folder)
    places = await all_places(next(fresh))
    chosen = places if most is None else places[:: max(1, len(places) // most)]
    came = 0
    for point, nth in chosen:
        place, faults = next(fresh), FailAt(point, nth, code)

        assert await persistent_scenario(place, faults) == EXPECTED, (point, nth)

        came += faults.came
        assert check(read_tables(place.database), read_acks(place.folder)) == [], (point, nth)
    figure(f"errors of code {code} injected: {len(places)} places, {len(chosen)} tried, {came} came about")
    assert came >= len(chosen) * 0.7


@pytest.mark.slow
@pytest.mark.timeout(200)
async def test_a_busy_database_at_any_point_changes_nothing(tmp_path, figure):
    await fail_everywhere(tmp_path, figure, code=BUSY, most=IN_CI)


@pytest.mark.slow
@pytest.mark.timeout(200)
async def test_an_error_of_the_disk_or_a_lost_answer_at_any_point_changes_nothing(tmp_path, figure):
    await fail_everywhere(tmp_path, figure, code=BROKEN, most=IN_CI)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("code", [BUSY, BROKEN])
async def test_an_error_at_each_single_point_changes_nothing(tmp_path, figure, code):
    await fail_everywhere(tmp_path, figure, code=code, most=None)
