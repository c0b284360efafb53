"""Every waiting primitive of asyncio behaves in workflow code as anywhere, and replays exactly."""

import asyncio
import gc
import os
import subprocess
import sys
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from tests.replayer.driver import Driver, activity, assert_replays, function_workflow

_who: ContextVar[str] = ContextVar("_who", default="nobody")


async def _step(name: str, seconds: float) -> str:
    await asyncio.sleep(seconds)
    return str(await activity("step", name))


async def sleep() -> list[float]:
    loop = asyncio.get_running_loop()
    begin = loop.time()
    await asyncio.sleep(0)
    await asyncio.sleep(2.5)
    await asyncio.sleep(-1)
    return [round(loop.time() - begin, 3), await asyncio.sleep(1, 7)]


async def gather() -> list[Any]:
    return list(await asyncio.gather(_step("a", 2), _step("b", 1), activity("c", "c")))


async def wait() -> list[list[str]]:
    tasks = [asyncio.create_task(_step(name, seconds)) for name, seconds in (("a", 3), ("b", 1), ("c", 2))]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    order = [task.get_name() for task in pending]
    rest, _ = await asyncio.wait(pending)
    return [[task.result() for task in done], order, [task.result() for task in rest]]


async def wait_for() -> list[str]:
    seen = [await asyncio.wait_for(_step("fast", 1), 60)]
    try:
        await asyncio.wait_for(_step("slow", 100), 5)
    except TimeoutError:
        seen.append("late")
    return seen


async def timeout() -> list[str]:
    seen: list[str] = []
    try:
        async with asyncio.timeout(3):
            await asyncio.sleep(100)
    except TimeoutError:
        seen.append("late")
    async with asyncio.timeout_at(asyncio.get_running_loop().time() + 50) as limit:
        seen.append(await _step("in time", 1))
        limit.reschedule(None)
    return seen


async def task_group() -> list[str]:
    seen: list[str] = []

    async def fail() -> None:
        await asyncio.sleep(2)
        raise ValueError("broken")

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_step(name, 1)) for name in "abc"]
    seen += [task.result() for task in tasks]
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail())
            group.create_task(asyncio.sleep(1000))
            group.create_task(asyncio.sleep(2000))
    except* ValueError as errors:
        seen += [str(error) for error in errors.exceptions]
    return seen


async def as_completed() -> list[str]:
    tasks = [asyncio.ensure_future(_step(name, seconds)) for name, seconds in (("a", 3), ("b", 1), ("c", 2))]
    return [await one for one in asyncio.as_completed(tasks, timeout=100)]


async def queue() -> list[str]:
    items: asyncio.Queue[str] = asyncio.Queue(2)
    seen: list[str] = []

    async def produce() -> None:
        for number in range(5):
            await items.put(await _step(str(number), 1))

    async def consume(name: str) -> None:
        while True:
            seen.append(name + await items.get())
            items.task_done()

    consumers = [asyncio.create_task(consume(name)) for name in "xy"]
    await produce()
    await items.join()
    for one in consumers:
        one.cancel()
    await asyncio.gather(*consumers, return_exceptions=True)
    return seen


async def event_and_condition() -> list[str]:
    event, condition, seen = asyncio.Event(), asyncio.Condition(), []

    async def listen(name: str) -> None:
        await event.wait()
        async with condition:
            await condition.wait_for(lambda: len(seen) >= 1)
            seen.append(name)

    tasks = [asyncio.create_task(listen(name)) for name in "abc"]
    seen_first = await _step("first", 1)
    event.set()
    await asyncio.sleep(1)
    async with condition:
        seen.append(seen_first)
        condition.notify_all()
    await asyncio.gather(*tasks)
    return seen


async def locks() -> list[str]:
    lock, slots, seen = asyncio.Lock(), asyncio.BoundedSemaphore(2), []

    async def enter(name: str) -> None:
        async with slots:
            await asyncio.sleep(1)
            async with lock:
                seen.append(await _step(name, 0.5))

    await asyncio.gather(*map(enter, "abcde"))
    return seen


async def barrier() -> list[int]:
    gate = asyncio.Barrier(3)

    async def arrive(seconds: int) -> int:
        await asyncio.sleep(seconds)
        return await gate.wait()

    return list(await asyncio.gather(*map(arrive, (3, 1, 2))))


async def shield() -> list[str]:
    inner = asyncio.create_task(_step("kept", 5))
    seen: list[str] = []
    try:
        await asyncio.wait_for(asyncio.shield(inner), 1)
    except TimeoutError:
        seen.append("late")
    return [*seen, await inner]


async def context_variables() -> list[str]:
    async def who() -> str:
        await asyncio.sleep(1)
        return _who.get()

    _who.set("main")
    first = asyncio.create_task(who())
    _who.set("changed")
    return [await first, await who()]


async def task_sets() -> list[str]:
    tasks = {asyncio.create_task(_step(str(number), 1)) for number in range(20)}
    order: list[str] = []
    for task in tasks:
        order.append(await activity("order", task.get_name()))
    await asyncio.gather(*tasks)
    return order


PRIMITIVES: list[Callable[[], Any]] = [
    sleep, gather, wait, wait_for, timeout, task_group, as_completed, queue, event_and_condition, locks, barrier,
    shield, context_variables, task_sets,
]  # fmt: skip

RESULTS: dict[str, Any] = {
    "sleep": [2.5, 7],
    "gather": ["a", "b", "c"],
    "wait_for": ["fast", "late"],
    "timeout": ["late", "in time"],
    "task_group": ["a", "b", "c", "broken"],
    "as_completed": ["b", "c", "a"],
    "event_and_condition": ["first", "a", "b", "c"],
    "shield": ["late", "kept"],
    "context_variables": ["main", "changed"],
}


@pytest.mark.parametrize("workflow", PRIMITIVES, ids=lambda one: one.__name__)
def test_primitive_works_and_replays_exactly(workflow: Callable[[], Any]) -> None:
    driver = Driver(function_workflow(workflow))

    driver.drive()

    assert driver.result() == RESULTS.get(workflow.__name__, driver.result())
    assert_replays(driver.definition, driver.history)


@pytest.mark.parametrize("workflow", PRIMITIVES, ids=lambda one: one.__name__)
def test_collecting_garbage_anywhere_changes_nothing(workflow: Callable[[], Any]) -> None:
    """D4: finalizers and the garbage collector schedule nothing."""
    driver = Driver(function_workflow(workflow))
    driver.drive()
    thresholds = gc.get_threshold()

    gc.set_threshold(7, 2, 2)
    try:
        again = Driver(function_workflow(workflow))
        again.drive()
        assert_replays(driver.definition, driver.history)
    finally:
        gc.set_threshold(*thresholds)

    assert again.history == driver.history


def test_hash_seeds_and_addresses_change_nothing() -> None:
    """D4: tasks hash by creation number, so sets of them have one order in every process."""
    script = (
        "from tests.replayer.test_primitives_replay import *\n"
        "import hashlib\n"
        "junk = [object() for _ in range(int(__import__('os').environ['PYTHONHASHSEED']) * 1009)]\n"
        "digest = hashlib.sha256()\n"
        "for one in PRIMITIVES:\n"
        "    driver = Driver(function_workflow(one))\n"
        "    driver.drive()\n"
        "    from perdure_history.codec import encode_event\n"
        "    for row in driver.history: digest.update(encode_event(row.event).encode())\n"
        "print(digest.hexdigest())\n"
    )
    root = Path(__file__).parents[2]
    path = os.pathsep.join([str(root), str(root / "replayer"), str(root / "history"), *sys.path])

    digests = {
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True, timeout=60, cwd=root,
        ).stdout
        for seed in ("1", "2", "77")
    }  # fmt: skip

    assert len(digests) == 1
