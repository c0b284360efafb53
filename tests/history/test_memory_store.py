"""The memory store where it differs from others: many threads and event loops share one object."""

import asyncio
import threading

from perdure_history.changes import Listeners
from perdure_history.errors import RunAlreadyExistsError
from perdure_history.memory import MemoryStore
from perdure_history.records import Change, ChangeKind, Verdict
from perdure_history.verification import verify_rows
from tests.conformance.scene import Scene, scheduled
from tests.conformance.stores import ManualClock

THREADS = 4


def in_threads(make):
    """Run the coroutine that make(number) gives on an event loop in each of some threads; their results."""
    results = [None] * THREADS
    barrier = threading.Barrier(THREADS, timeout=10)

    def body(number):
        barrier.wait()
        results[number] = asyncio.run(make(number))

    threads = [threading.Thread(target=body, args=(number,)) for number in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    return results


def test_starters_on_many_event_loops_share_one_open_run():
    clock = ManualClock()
    scene = Scene(MemoryStore(clock=clock), clock)

    async def starter(number):
        try:
            return (await scene.start()).created
        except RunAlreadyExistsError:
            return False

    assert sorted(in_threads(starter)) == [False] * (THREADS - 1) + [True]


def test_workers_on_many_event_loops_take_turns_at_one_run():
    clock = ManualClock()
    scene = Scene(MemoryStore(clock=clock), clock)

    async def set_up():
        for number in range(THREADS):
            await scene.worker(f"w{number}")
        return (await scene.start()).run_id

    run_id = asyncio.run(set_up())

    async def append(number):
        landed = 0
        while landed < 25:
            member = await scene.member(run_id, scheduled(), actor=f"w{number}")
            [verdict] = await scene.commit(f"w{number}", member)
            landed += verdict is Verdict.COMMITTED
        return landed

    assert in_threads(append) == [25] * THREADS
    rows = asyncio.run(scene.store.read_history(run_id))
    assert len(rows) == 1 + 25 * THREADS
    assert verify_rows(run_id, rows) == []


def test_a_listener_may_ask_the_store_from_within_its_call():
    """Told after the lock was given up: a listener that looks at once must not wait for itself."""
    clock = ManualClock()
    scene = Scene(MemoryStore(clock=clock), clock)
    found = []

    def look(changes):
        thread = threading.Thread(target=lambda: found.append(asyncio.run(scene.run(None))))
        thread.start()
        thread.join(timeout=10)

    scene.store.subscribe(look)
    outcome = asyncio.run(scene.start())

    assert [run.run_id for run in found] == [outcome.run_id]


def test_a_listener_may_remove_itself_while_it_is_told():
    listeners = Listeners()
    heard = []

    def once(changes):
        heard.append("once")
        remove()

    remove = listeners.add(once)
    listeners.add(lambda changes: heard.append("always"))
    change = [Change(ChangeKind.FOREIGN)]
    listeners.tell(change)
    listeners.tell(change)
    listeners.tell([])

    assert heard == ["once", "always", "always"]


def test_a_listener_that_was_added_twice_hears_twice_until_each_is_removed():
    listeners = Listeners()
    heard = []
    removals = [listeners.add(heard.append), listeners.add(heard.append)]
    listeners.tell([Change(ChangeKind.FOREIGN)])
    removals[0]()
    listeners.tell([Change(ChangeKind.FOREIGN)])

    assert len(heard) == 3
