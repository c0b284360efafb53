"""Which clocks count: a lease by the machine's boot clock, all else by the store's, across owners."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from perdure import activity, workflow
from perdure.client import Client, WorkflowFailureError
from perdure.common import RetryPolicy
from perdure.exceptions import ActivityError, TimeoutError
from perdure.worker import Worker
from perdure.worker._lease import Lease
from perdure_history.codec import decode_event
from perdure_history.events import TimerFired, TimerStarted
from perdure_history.memory import MemoryStore
from perdure_history.records import EventRow, WorkerRecord
from perdure_history.sql import open_sqlite
from perdure_history.store import Store

LIMIT = 20.0
"""Seconds that a test waits at most for what must come."""
MINUTE = 60 * 1_000_000
begun: list[int] = []


class SteppedClock:
    """A store's clock, as somebody steps it."""

    def __init__(self) -> None:
        self.ahead_us = 0

    def __call__(self) -> int:
        return time.time_ns() // 1000 + self.ahead_us


class BootClock:
    """Seconds since the boot, as a test says."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Holder:
    """Whose lease it is."""

    incarnation = "me"

    def __init__(self) -> None:
        self.renewals: asyncio.Queue[None] = asyncio.Queue()

    def worker_died(self) -> None:
        raise AssertionError("nobody buries it")

    def lease_renewed(self) -> None:
        self.renewals.put_nowait(None)

    def runs_freed(self) -> None:
        pass


@activity.defn
async def count() -> int:
    begun.append(activity.info().attempt)
    return len(begun)


@activity.defn
async def never_ends() -> None:
    begun.append(activity.info().attempt)
    await asyncio.Event().wait()


@workflow.defn
async def counts() -> int:
    return await workflow.execute_activity(count, start_to_close_timeout=timedelta(minutes=1))


@workflow.defn
async def has_an_hour() -> None:
    await workflow.execute_activity(
        never_ends,
        schedule_to_close_timeout=timedelta(hours=1),
        retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=1)),
    )


@workflow.defn
async def naps() -> list[datetime]:
    times = [workflow.now()]
    for _ in range(3):
        await workflow.sleep(0.02)
        times.append(workflow.now())
    return times


@workflow.defn
class Listens:
    def __init__(self) -> None:
        self.times: list[datetime] = []

    @workflow.run
    async def run(self) -> list[datetime]:
        await workflow.wait_condition(lambda: len(self.times) == 3)
        return self.times

    @workflow.signal
    def now(self) -> None:
        self.times.append(workflow.now())


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture(params=["memory", "sqlite"])
async def store(request: pytest.FixtureRequest, tmp_path: Path, clock: SteppedClock) -> AsyncIterator[Store]:
    begun.clear()
    if request.param == "memory":
        store: Store = MemoryStore(clock=clock)
    else:
        store = await open_sqlite(tmp_path / "runs.db", clock=clock)
    yield store
    await store.close()


@pytest.fixture
async def client(store: Store) -> Client:
    return Client(store)


async def events(client: Client, workflow_id: str) -> list[EventRow]:
    run = await client.store.find_run(client.namespace, workflow_id)
    return await client.store.read_history(run.run_id)


async def until(answer: Callable[[], object]) -> None:
    async with asyncio.timeout(LIMIT):
        while not answer():
            await asyncio.sleep(0.005)


async def until_recorded(client: Client, workflow_id: str, kind: str) -> None:
    async with asyncio.timeout(LIMIT):
        while kind not in [row.type for row in await events(client, workflow_id)]:
            await asyncio.sleep(0.005)


async def test_no_activity_begins_while_the_lease_may_have_lapsed(client: Client, monkeypatch):
    """The machine slept for longer than the lease: what was scheduled begins when a heartbeat was answered."""
    boot, answer_beats = BootClock(), asyncio.Event()
    beat = client.store.beat

    async def held_up(incarnation: str) -> int:
        await answer_beats.wait()
        return await beat(incarnation)

    monkeypatch.setattr(client.store, "beat", held_up)
    async with Worker(client, workflows=[counts], lease=timedelta(seconds=0.6), boot_clock=boot):
        boot.seconds = 10
        handle = await client.start_workflow(counts, id="c")
        await until_recorded(client, "c", "ActivityTaskScheduled")
        await asyncio.sleep(0.05)  # for an activity that would begin all the same
        begun_before = list(begun)
        answer_beats.set()
        result = await asyncio.wait_for(handle.result(), LIMIT)

    assert begun_before == []
    assert result == 1


async def test_a_heartbeat_counts_from_when_it_was_sent(client: Client, monkeypatch):
    """An answer that comes after a sleep proves nothing about the time in between."""
    boot, holder = BootClock(), Holder()
    sent, answer_beats = asyncio.Event(), asyncio.Event()
    beat = client.store.beat
    await client.store.register_worker(
        WorkerRecord(incarnation="me", identity="me", task_queues="q", started_at=0)
    )

    async def held_up(incarnation: str) -> int:
        sent.set()
        await answer_beats.wait()
        return await beat(incarnation)

    monkeypatch.setattr(client.store, "beat", held_up)
    lease = Lease(client.store, holder, lease_seconds=0.03, probe_seconds=100, boot_clock=boot)
    lease.start()
    await asyncio.wait_for(sent.wait(), LIMIT)
    fresh = lease.holds()
    boot.seconds = 10
    lapsed = lease.holds()
    answer_beats.set()
    await asyncio.wait_for(holder.renewals.get(), LIMIT)
    answered_late = lease.holds()
    await asyncio.wait_for(holder.renewals.get(), LIMIT)
    answered_in_time = lease.holds()
    await lease.stop()

    assert (fresh, lapsed, answered_late, answered_in_time) == (True, False, False, True)


@pytest.mark.parametrize("hours", [1, -1])
async def test_a_step_of_the_wall_clock_buries_nobody(client: Client, clock: SteppedClock, hours: int):
    """A lease lapses when a beat did not change for its length on the observer's boot clock, by no other."""
    boot = BootClock()
    await client.store.register_worker(
        WorkerRecord(incarnation="other", identity="x", task_queues="q", started_at=0, lease_us=15_000_000)
    )
    lease = Lease(client.store, Holder(), lease_seconds=15, probe_seconds=1, boot_clock=boot)
    await lease.bury_the_dead()

    clock.ahead_us += hours * 60 * MINUTE
    await lease.bury_the_dead()
    after_the_step = await client.store.list_workers()
    boot.seconds = 15
    await lease.bury_the_dead()

    assert [one.incarnation for one in after_the_step] == ["other"]
    assert await client.store.list_workers() == []


async def test_schedule_to_close_counts_from_the_scheduling_across_owners(
    client: Client, clock: SteppedClock
):
    """Three owners have an activity for 40 minutes each at most, and its hour is over with the second."""
    attempts = []
    for _ in range(2):
        async with Worker(client, workflows=[has_an_hour]):
            if not attempts:
                handle = await client.start_workflow(has_an_hour, id="h")
            number = len(begun)
            await until(lambda number=number: len(begun) > number)
            attempts.append(begun[-1])
        clock.ahead_us += 40 * MINUTE

    async with Worker(client, workflows=[has_an_hour]):
        with pytest.raises(WorkflowFailureError) as caught:
            await asyncio.wait_for(handle.result(), LIMIT)

    assert attempts == [1, 2]
    assert begun[-1] == 2, "no attempt begins when the hour is over"
    assert isinstance(caught.value.cause, ActivityError)
    assert isinstance(caught.value.cause.cause, TimeoutError)
    assert "ScheduleToClose" in str(caught.value.cause.cause)


@pytest.mark.parametrize("minutes", [30, -30])
async def test_a_timer_fires_by_the_store_s_clock_whatever_other_clocks_say(
    client: Client, clock: SteppedClock, minutes: int
):
    """The store's clock is half an hour off the machine's, and the boot clock stands still."""
    clock.ahead_us = minutes * MINUTE
    before = clock()
    async with Worker(client, workflows=[naps], boot_clock=BootClock()):
        times = await asyncio.wait_for(client.execute_workflow(naps, id="n"), LIMIT)

    after = clock()
    rows = await events(client, "n")
    fire_at = {}
    for row in rows:
        event = decode_event(row.type, row.attributes)
        if isinstance(event, TimerStarted):
            fire_at[row.seq] = event.fire_at
        if isinstance(event, TimerFired):
            assert row.recorded_at >= fire_at.pop(event.timer_seq)
    assert fire_at == {}
    assert len(times) == 4
    assert all(before <= row.recorded_at <= after for row in rows)


@pytest.mark.parametrize("cached", [1000, 0])
async def test_a_run_s_time_never_goes_backwards_when_the_store_s_does(
    client: Client, clock: SteppedClock, cached: int
):
    """An hour back in mid-run; then a turn's time is that of the turn before, until the clock has caught up."""
    async with Worker(client, workflows=[Listens], max_cached_workflows=cached):
        handle = await client.start_workflow(Listens.run, id="l")
        for number in range(3):
            await handle.signal(Listens.now)
            async with asyncio.timeout(LIMIT):
                while [row.type for row in await events(client, "l")].count(
                    "WorkflowExecutionSignaled"
                ) <= number:
                    await asyncio.sleep(0.005)
            clock.ahead_us -= 60 * MINUTE
        times = await asyncio.wait_for(handle.result(), LIMIT)

    recorded = [row.recorded_at for row in await events(client, "l") if row.turn is not None]
    assert times == sorted(times)
    assert recorded == sorted(recorded)


async def test_every_time_in_the_database_is_a_whole_number_of_microseconds(tmp_path: Path):
    """In UTC, since 1970, and chosen by the caller: no column has a clock or a zone of its own."""
    async with await Client.connect(f"sqlite:///{tmp_path}/runs.db") as client:
        before = time.time_ns() // 1000
        async with Worker(client, workflows=[naps, counts]):
            await client.execute_workflow(naps, id="n")
            waiting = await client.start_workflow(Listens.run, id="l")
            await waiting.signal(Listens.now)
            with closing(sqlite3.connect(tmp_path / "runs.db")) as reader:
                values = [
                    value
                    for table, column in (
                        ("history", "recorded_at"),
                        ("runs", "started_at"),
                        ("runs", "closed_at"),
                        ("workers", "started_at"),
                        ("inbox", "sent_at"),
                    )
                    for (value,) in reader.execute(
                        f"SELECT {column} FROM perdure_{table} WHERE {column} IS NOT NULL"
                    )
                ]
                clocks = [
                    sql
                    for (sql,) in reader.execute("SELECT sql FROM sqlite_master WHERE name LIKE 'perdure_%'")
                    if sql is not None and ("CURRENT_TIMESTAMP" in sql.upper() or "DATETIME" in sql.upper())
                ]

    assert len(values) > 10
    assert all(type(value) is int and before - 1 <= value < before + MINUTE for value in values)
    assert clocks == []
