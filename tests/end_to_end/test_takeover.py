"""A dead worker's runs go on elsewhere at once; a stopped one's after its lease, and it writes nothing more."""

import asyncio
import os
import signal
import time
from itertools import count

import pytest

from tests.checker import check
from tests.end_to_end import flows
from tests.end_to_end.acks import AckLog, read_acks
from tests.end_to_end.connecting import connect
from tests.end_to_end.processes import LONG, Nursery
from tests.end_to_end.programs import Place, WorkerPlan, start_once, work
from tests.end_to_end.tables import read_tables
from tests.end_to_end.waiting import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

LEASE = 3.0
"""Seconds; what must not wait for a lease has to be much faster than this on any machine."""


async def history_length(client, handle) -> int:
    history = await handle.fetch_history()
    return len(history.events)


async def started_chains(place: Place, client, count: int):
    log = AckLog(place.folder / "test.acks")
    handles = [
        await start_once(client, log, flows.slow_chain, 20, workflow_id=f"chain-{number}")
        for number in range(count)
    ]
    log.close()
    return handles


async def all_moving(client, handles) -> None:
    for handle in handles:
        await until(is_moving, client, handle)


async def is_moving(client, handle) -> bool:
    return await history_length(client, handle) >= 6


async def results(handles) -> list[int]:
    return [await asyncio.wait_for(handle.result(), LONG) for handle in handles]


async def test_a_second_process_takes_over_at_once_when_the_first_is_killed(children: Nursery, place, figure):
    first = children.start(work, place, WorkerPlan(lease_seconds=60))
    first.hear()
    client = await connect(place.database)
    handles = await started_chains(place, client, 5)
    await all_moving(client, handles)
    second = children.start(work, place, WorkerPlan(lease_seconds=60))
    second.hear()
    before = [await history_length(client, handle) for handle in handles]

    first.kill()
    killed_at = time.monotonic_ns()
    seconds = []
    for handle, length in zip(handles, before, strict=True):
        await until(has_grown, client, handle, length + 3)
        seconds.append((time.monotonic_ns() - killed_at) / 1e9)

    assert await results(handles) == [20] * 5
    await client.close()
    second.tell("stop")
    second.join()
    assert check(read_tables(place.database), read_acks(place.folder)) == []
    figure(
        f"takeover after SIGKILL, lease 60 s: first run moves after {min(seconds):.2f} s, last {max(seconds):.2f} s"
    )
    assert max(seconds) < 30


async def has_grown(client, handle, length: int) -> bool:
    return await history_length(client, handle) >= length


async def test_a_restarted_process_continues_every_run_by_itself(children: Nursery, place, figure):
    first = children.start(work, place, WorkerPlan(lease_seconds=60))
    first.hear()
    client = await connect(place.database)
    handles = await started_chains(place, client, 10)
    await all_moving(client, handles)
    first.kill()
    before = [await history_length(client, handle) for handle in handles]

    started_at = time.monotonic_ns()
    second = children.start(work, place, WorkerPlan(lease_seconds=60))
    for handle, length in zip(handles, before, strict=True):
        await until(has_grown, client, handle, length + 1)
    seconds = (time.monotonic_ns() - started_at) / 1e9

    assert await results(handles) == [20] * 10
    await client.close()
    second.hear()
    second.tell("stop")
    second.join()
    assert check(read_tables(place.database), read_acks(place.folder)) == []
    figure(
        f"restart after SIGKILL, lease 60 s: all 10 runs move {seconds:.2f} s after the new process was started"
    )
    assert seconds < 30


async def test_a_stopped_worker_that_wakes_after_its_lease_writes_nothing(children: Nursery, place, figure):
    """The zombie (C1): once it is buried, not one event of it lands; it goes on as a new incarnation."""
    zombie = children.start(work, place, WorkerPlan(lease_seconds=LEASE))
    zombie.hear()
    client = await connect(place.database)
    handles = await started_chains(place, client, 10)
    await all_moving(client, handles)
    other = children.start(work, place, WorkerPlan(lease_seconds=LEASE))
    other.hear()

    stopped_at = await stop_between_commits(zombie.pid, client)
    await until(dead_workers, client)
    buried_after = (time.monotonic_ns() - stopped_at) / 1e9
    (dead,) = await dead_workers(client)
    at_burial = read_tables(place.database)
    os.kill(zombie.pid, signal.SIGCONT)

    # A third row is the zombie's: it found out that it is dead and goes on under a new name.
    await until(has_workers, client, 2)
    assert await results(handles) == [20] * 10
    await client.close()
    for child in (zombie, other):
        child.tell("stop")
        child.join()
    dump = read_tables(place.database)
    stale = [
        row
        for run_id, rows in dump.history.items()
        for row in rows[len(at_burial.history.get(run_id, ())) :]
        if row.actor.endswith(dead.incarnation)
    ]
    figure(
        f"SIGSTOP beyond a lease of {LEASE:g} s: buried {buried_after:.1f} s after the stop, "
        f"{len(stale)} writes of the stale worker"
    )
    assert any(row.actor.endswith(dead.incarnation) for rows in dump.history.values() for row in rows)
    assert stale == []
    assert check(dump, read_acks(place.folder), earlier=at_burial) == []


async def stop_between_commits(pid: int, client) -> int:
    """SIGSTOP a process at a moment when it does not hold the file's write lock, so that others can go on; when that was.

    A process stopped inside a transaction blocks an SQLite file for everyone until it goes on; that is
    SQLite's nature and not what is tested here.
    """
    for number in count():
        os.kill(pid, signal.SIGSTOP)
        stopped_at = time.monotonic_ns()
        try:
            await asyncio.wait_for(a_write(client, number), 1)
        except TimeoutError:
            os.kill(pid, signal.SIGCONT)
            await asyncio.sleep(0.05)  # let it end its transaction
        else:
            return stopped_at
    raise AssertionError


async def a_write(client, number: int) -> None:
    """A start into a queue that nobody serves."""
    await client.start_workflow("nothing", id=f"write-{number}", task_queue="nobody")


async def dead_workers(client):
    return await client.store.list_workers(state="dead")


async def has_workers(client, number: int) -> bool:
    return len(await client.store.list_workers()) >= number
