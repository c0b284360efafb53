"""One store, many event loops and threads; callers that give up."""

import asyncio
import threading

import pytest

from perdure_history.records import RunFilter
from perdure_history.sql import open_sqlite
from tests.conformance.scene import Scene, scheduled, start_request
from tests.conformance.stores import ManualClock

THREADS = 4


def test_a_store_serves_the_event_loops_of_many_threads(path):
    """Clients, workers and loops of a process share the file's committer; each loop has its reader."""
    store = asyncio.run(open_sqlite(path))
    scene = Scene(store, ManualClock())
    asyncio.run(scene.worker("w1"))
    lengths = [0] * THREADS

    async def body(number):
        run_id = await scene.start_owned(f"order-{number}", run_id=f"run-{number}")
        for _ in range(20):
            await scene.commit("w1", await scene.member(run_id, scheduled()))
        lengths[number] = len(await store.read_history(run_id))

    threads = [threading.Thread(target=lambda n=n: asyncio.run(body(n))) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)

    assert lengths == [21] * THREADS
    asyncio.run(store.close())


async def test_a_caller_that_gives_up_harms_nobody(path):
    """A cancelled write happens or not; a cancelled read leaves its connection in order."""
    store = await open_sqlite(path)
    for number in range(50):
        write = asyncio.ensure_future(store.start_run(start_request(f"order-{number}", run_id=f"r-{number}")))
        read = asyncio.ensure_future(store.list_workers())
        for _ in range(number % 4):
            await asyncio.sleep(0)
        write.cancel()
        read.cancel()
        with pytest.raises(asyncio.CancelledError):
            await read

    assert await store.list_workers() == []
    assert (await store.start_run(start_request("last", run_id="r-last"))).created
    await store.close()


async def test_an_opener_who_gives_up_leaves_the_file_to_the_others(path):
    first = asyncio.ensure_future(open_sqlite(path))
    second = asyncio.ensure_future(open_sqlite(path))
    await asyncio.sleep(0)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first

    store = await second

    assert (await store.start_run(start_request())).created
    await store.close()


async def test_a_file_may_be_opened_again_while_it_is_being_closed(path):
    """The new committer begins when the old one has ended, so that one process never writes twice at once."""
    store = await open_sqlite(path)
    for number in range(20):
        start = asyncio.ensure_future(store.start_run(start_request(f"a-{number}", run_id=f"a-{number}")))
        await asyncio.sleep(0)
        _, again = await asyncio.gather(store.close(), open_sqlite(path))
        assert (await start).created

        assert (await again.start_run(start_request(f"b-{number}", run_id=f"b-{number}"))).created
        store = again

    assert len((await store.list_runs(RunFilter(namespace="default"))).runs) == 40
    await store.close()


async def test_listeners_that_left_are_forgotten(path):
    store = await open_sqlite(path)
    heard = []
    for _ in range(10):
        store.subscribe(heard.extend)()
    kept = store.subscribe(heard.extend)

    await store.start_run(start_request())

    assert len(heard) == 1
    kept()
    await store.close()
