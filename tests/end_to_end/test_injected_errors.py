"""The database fails at each point in turn, in one process: same result, nothing lost, nothing twice.

Three ways to fail: another has the lock, the disk gives an error, and a COMMIT that happened is not answered.
"""

import asyncio
import contextlib
import random
import shutil
import sqlite3
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from perdure.client import Client, WorkflowClosedError, WorkflowHandle
from perdure.exceptions import PerdureError
from perdure_history.errors import HistoryError, StoreUnavailableError
from perdure_history.records import RunStatus
from tests.checker import check
from tests.end_to_end import flows
from tests.end_to_end.acks import AckLog, read_acks
from tests.end_to_end.connecting import connect
from tests.end_to_end.processes import LONG
from tests.end_to_end.programs import (
    Count,
    Outcome,
    Place,
    WorkerPlan,
    make_worker,
    run_was_closed,
    scenario,
    start_once,
)
from tests.end_to_end.replaying import replay_everything
from tests.end_to_end.tables import read_tables
from tests.end_to_end.test_every_commit_point import EXPECTED, places_of_kills
from tests.end_to_end.test_random_kills import new_seed
from tests.end_to_end.waiting import until

RUNS = 60
"""Not more: a group that is repeated asks about each of its turns, and must get through all of that at once."""
BUSY, BROKEN = sqlite3.SQLITE_BUSY, sqlite3.SQLITE_IOERR


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


async def fail_everywhere(folder, figure, *, code: int) -> None:
    fresh = fresh_places(folder)
    places = await all_places(next(fresh))
    came = 0
    for point, nth in places:
        place, faults = next(fresh), FailAt(point, nth, code)

        assert await persistent_scenario(place, faults) == EXPECTED, (point, nth)

        came += faults.came
        assert check(read_tables(place.database), read_acks(place.folder)) == [], (point, nth)
        shutil.rmtree(place.folder)
    figure(f"errors of code {code} injected at every point: {len(places)} places, {came} came about")
    assert came >= len(places) * 0.7


@pytest.mark.slow
@pytest.mark.timeout(280)
async def test_a_busy_database_at_any_point_changes_nothing(tmp_path, figure):
    await fail_everywhere(tmp_path, figure, code=BUSY)


@pytest.mark.slow
@pytest.mark.timeout(280)
async def test_an_error_of_the_disk_or_a_lost_answer_at_any_point_changes_nothing(tmp_path, figure):
    await fail_everywhere(tmp_path, figure, code=BROKEN)


class Outage:
    """A fault hook that fails at every point for a while, as a full disk does until someone makes room."""

    def __init__(self) -> None:
        self.lasts = False
        self.failures = 0

    def __call__(self, point: str) -> None:
        if self.lasts:
            self.failures += 1
            error = sqlite3.OperationalError("database or disk is full")
            error.sqlite_errorcode = sqlite3.SQLITE_FULL
            raise error


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_full_disk_costs_nothing_but_time(place, figure):
    """Workers wait and go on without a restart; a client is told, and what it was told before is there."""
    outage = Outage()
    client = await connect(place.database, faults=outage)
    log = AckLog(place.folder / "test.acks")
    async with make_worker(client):
        handles = [
            await start_once(client, log, flows.slow_chain, 20, workflow_id=f"chain-{n}") for n in range(10)
        ]
        outage.lasts = True
        with pytest.raises(StoreUnavailableError):
            await start_once(client, log, flows.chain, 1, workflow_id="refused")
        await until(lambda: outage.failures > 20)
        outage.lasts = False
        results = await asyncio.wait_for(asyncio.gather(*(handle.result() for handle in handles)), LONG)
    await client.close()

    figure(f"disk full for a while: {outage.failures} failed statements, all runs completed")
    assert results == [20] * 10
    assert check(read_tables(place.database), read_acks(place.folder)) == []


class FailSometimes:
    """A fault hook that fails now and then, anywhere, in every way; the seed says where."""

    def __init__(self, seed: int) -> None:
        self._dice = random.Random(seed)
        self.share = 0.0
        self.failures = 0

    def __call__(self, point: str) -> None:
        if self._dice.random() < self.share:
            self.failures += 1
            error = sqlite3.OperationalError(f"injected at {point}")
            error.sqlite_errorcode = self._dice.choice([BUSY, BROKEN, sqlite3.SQLITE_FULL])
            raise error


async def insist(call: Callable[[], Awaitable[Any]]) -> Any:
    """What `call` gives once the database lets it: the same request each time."""
    for _ in range(100):
        try:
            return await call()
        except StoreUnavailableError:
            continue
    raise AssertionError("the database never let it")


async def one_run(client: Client, log: AckLog, number: int) -> None:
    """Start a run, send it signals if it listens, and wait for its end, asking again whenever that fails."""
    name = f"run-{number}"
    flow, arguments = ((flows.chain, (3,)), (flows.Listener.run, (2,)), (flows.naps, (3, 5)))[number % 3]
    handle = await insist(lambda: start_once(client, log, flow, *arguments, workflow_id=name))
    if number % 3 == 1:
        for word in range(3):
            await insist(lambda key=f"{name}.{word}": send(handle, log, key))
    await insist(handle.result)


async def send(handle: WorkflowHandle[Any], log: AckLog, key: str) -> None:
    with (
        contextlib.suppress(WorkflowClosedError),
        log.call("signal", handle.id, key=key, refused=run_was_closed),
    ):
        await handle.signal("note", key, request_id=key)


@pytest.mark.slow
@pytest.mark.timeout(200)
@pytest.mark.parametrize("cached", [0, 5, 1000])
async def test_errors_now_and_then_everywhere_change_nothing(place, figure, cached):
    seed = new_seed()
    figure(f"errors at random: seed {seed} (repeat with PERDURE_TEST_SEED={seed})")
    faults = FailSometimes(seed)
    client = await insist(lambda: connect(place.database, faults=faults))
    log = AckLog(place.folder / "test.acks")
    async with make_worker(client, WorkerPlan(max_cached=cached)):
        faults.share = 0.01
        for wave in range(20):
            numbers = range(wave * RUNS, (wave + 1) * RUNS)
            await asyncio.wait_for(asyncio.gather(*(one_run(client, log, number) for number in numbers)), 150)
            if faults.failures >= 5:
                break
        faults.share = 0.0
    await client.close()

    dump = read_tables(place.database)
    figure(
        f"errors at random, {cached} runs cached: {faults.failures} failures, {len(dump.runs)} runs, all completed"
    )
    assert faults.failures >= 5
    assert check(dump, read_acks(place.folder)) == []
    assert all(run.status is RunStatus.COMPLETED for run in dump.runs)
    replay_everything(dump)
