"""Leaving memory: finally blocks run, and can ask for nothing."""

import asyncio
import gc
import weakref
from typing import Any

import pytest

from perdure_replayer.errors import BrokenRunError
from perdure_replayer.turn import LiveRun
from tests.replayer.driver import (
    CONVERTER,
    RUN_ID,
    START,
    Driver,
    activity,
    class_workflow,
    function_workflow,
    here,
    signal,
    start_event,
)

SEEN: list[str] = []


class Tidy:
    """Tries in every finally block to do something more."""

    async def run(self) -> None:
        child = asyncio.create_task(self.child(), name="child")
        try:
            async with asyncio.timeout(50), asyncio.TaskGroup() as group:
                group.create_task(self.child())
                await activity("slow")
        finally:
            SEEN.append("main")
            try:
                activity("late")
            finally:
                SEEN.append("refused")
                await child

    async def child(self) -> None:
        try:
            await asyncio.sleep(100)
        finally:
            SEEN.append("child")
            await asyncio.sleep(1)

    async def on(self) -> None:
        try:
            await here().wait_condition(lambda: False)
        finally:
            await here().start_timer(5)


def test_finally_blocks_run_and_issue_nothing() -> None:
    driver = Driver(class_workflow(Tidy, signals=["on"]), begin=[signal("on")])
    before = (dict(driver.run.activities), dict(driver.run.timers), driver.run.head_seq)
    SEEN.clear()

    driver.run.evict()
    driver.run.evict()

    assert SEEN == ["child", "main", "refused", "child"] or sorted(SEEN) == [
        "child",
        "child",
        "main",
        "refused",
    ]
    assert (driver.run.activities, driver.run.timers, driver.run.head_seq) == before
    try:
        driver.run.advance([signal("on")], now=START)
    except BrokenRunError as error:
        assert "evicted" in str(error)


def test_evicted_run_leaves_no_cycle_that_keeps_it_in_memory() -> None:
    class Holder:
        async def run(self) -> Any:
            self.task = asyncio.create_task(asyncio.sleep(100))
            return await asyncio.gather(activity("slow"), asyncio.shield(self.task))

    definition = class_workflow(Holder)
    instances: list[weakref.ref[Any]] = []

    gc.collect()
    gc.disable()
    try:
        run = LiveRun(RUN_ID, definition, CONVERTER)
        run.advance([start_event(definition)], now=START)
        context = run._execution.context  # noqa: SLF001  # the object has no public name
        assert context is not None
        instances.append(weakref.ref(context.instance))
        run.evict()
        del run, context
    finally:
        gc.enable()

    # The user's object holds its task and the task the object: that cycle is theirs, and closed by eviction.
    gc.collect()
    assert instances[0]() is None


def test_evicting_a_run_of_plain_awaits_frees_it_at_once() -> None:
    class Payload:
        pass

    seen: list[weakref.ref[Any]] = []

    async def plain() -> None:
        value = Payload()
        seen.append(weakref.ref(value))
        await activity("slow")
        del value

    driver = Driver(function_workflow(plain))
    gc.collect()
    gc.disable()
    try:
        driver.run.evict()
        assert seen[0]() is None
    finally:
        gc.enable()


def test_stubborn_coroutine_is_given_up() -> None:
    async def stubborn() -> None:
        for _ in range(5):
            try:
                await asyncio.sleep(1)
            except BaseException:  # noqa: BLE001, S112  # even what closes it
                continue

    driver = Driver(function_workflow(stubborn))

    driver.run.evict()
    del driver
    gc.collect()


def test_abandoned_async_generator_schedules_nothing() -> None:
    """D4: when it is collected is chance, so the loop drops it."""

    async def numbers() -> Any:
        try:
            for number in range(10):
                yield number
        finally:
            SEEN.append("closed")
            await activity("from a finalizer")

    async def abandons() -> str:
        async for _ in numbers():
            break
        gc.collect()
        await activity("step")
        gc.collect()
        return "done"

    SEEN.clear()
    driver = Driver(function_workflow(abandons))

    driver.drive()

    assert SEEN == []
    assert driver.outputs().count("ActivityTaskScheduled") == 1


def test_run_that_is_dropped_without_eviction_is_not_complained_about(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def waits() -> None:
        await asyncio.gather(activity("slow"), asyncio.sleep(50))

    driver = Driver(function_workflow(waits))

    del driver
    gc.collect()

    assert caplog.records == []
