"""The guards around real runs: what a turn of the replayer refuses, and what it lets pass."""

import asyncio
import random
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from perdure import _guarded
from perdure_replayer import guards
from perdure_replayer.errors import RestrictedCallError, TurnFailedError
from perdure_replayer.turn import LiveRun
from tests.replayer.driver import CONVERTER, RUN_ID, Driver, activity, assert_replays, function_workflow


@pytest.fixture(autouse=True)
def guarded() -> Iterator[None]:
    _guarded.install_guards()
    yield
    _guarded.uninstall_guards()


def test_clock_in_a_run_fails_the_turn_and_nothing_is_recorded() -> None:
    async def flow() -> float:
        await asyncio.sleep(0)
        return time.time()

    driver_error: TurnFailedError
    with pytest.raises(TurnFailedError) as caught:
        Driver(function_workflow(flow, failure_exception_types=()))
    driver_error = caught.value

    assert isinstance(driver_error.error, RestrictedCallError)
    assert driver_error.error.where.startswith(__file__)


def test_clock_inside_helpers_of_asyncio_is_refused_too() -> None:
    async def inner() -> float:
        return random.random()

    async def flow() -> float:
        async with asyncio.timeout(5):
            return await asyncio.wait_for(inner(), 5)

    with pytest.raises(TurnFailedError) as caught:
        Driver(function_workflow(flow, failure_exception_types=()))

    assert isinstance(caught.value.error, RestrictedCallError)


def test_stock_primitives_of_asyncio_run_under_the_guards() -> None:
    async def flow() -> list[Any]:
        queue: asyncio.Queue[int] = asyncio.Queue()
        lock = asyncio.Lock()
        async with asyncio.TaskGroup() as group, lock:
            one = group.create_task(activity_result("a", 1))
            two = group.create_task(asyncio.sleep(3, 2))
            group.create_task(queue.put(3))
        async with asyncio.timeout(10):
            four = await asyncio.wait_for(activity_result("b", 4), 5)
        five = await asyncio.gather(activity_result("c", 5), asyncio.sleep(1, 6))
        done, _ = await asyncio.wait([asyncio.ensure_future(activity_result("d", 7))])
        return [one.result(), two.result(), await queue.get(), four, five, [d.result() for d in done]]

    driver = Driver(function_workflow(flow))
    driver.drive()

    assert driver.result() == [1, 2, 3, 4, [5, 6], [7]]
    assert_replays(driver.definition, driver.history)


async def activity_result(name: str, value: int) -> Any:
    return await activity(name, value)


def test_as_completed_over_bare_coroutines_issues_its_commands_in_the_order_given() -> None:
    async def flow() -> list[Any]:
        return [await one for one in asyncio.as_completed([activity_result(f"a{n}", n) for n in range(40)])]

    driver = Driver(function_workflow(flow))
    scheduled = [one.scheduled.activity_type for one in driver.run.activities.values()]
    driver.drive()

    assert scheduled == [f"a{n}" for n in range(40)]
    assert driver.result() == list(range(40))
    for _ in range(5):
        again = LiveRun(RUN_ID, driver.definition, CONVERTER)
        again.replay(driver.history)


@pytest.mark.skipif(sys.version_info < (3, 13), reason="as_completed became an async iterator in 3.13")
def test_as_completed_may_be_iterated_asynchronously() -> None:
    async def flow() -> list[Any]:
        found = asyncio.as_completed([activity_result(f"a{n}", n) for n in range(3)])
        return [await one async for one in found]  # type: ignore[attr-defined]

    driver = Driver(function_workflow(flow))
    driver.drive()

    assert driver.result() == [0, 1, 2]


async def test_as_completed_outside_workflow_code_is_stock() -> None:
    found = [await one for one in asyncio.as_completed([asyncio.sleep(0, 1), asyncio.sleep(0, 2)])]

    assert sorted(found) == [1, 2]


def test_unrestricted_block_passes_in_a_run() -> None:
    async def flow() -> bool:
        with guards.unrestricted():
            return time.time() > 0

    driver = Driver(function_workflow(flow))

    assert driver.result() is True


def test_clock_cannot_be_swallowed_into_a_recorded_result() -> None:
    async def flow() -> str:
        try:
            return str(time.time())
        except RestrictedCallError as error:
            return error.what

    driver = Driver(function_workflow(flow))

    assert driver.result() == "time.time()"
    assert_replays(driver.definition, driver.history)


def test_wait_for_wakes_its_caller_in_the_same_pass_of_the_loop_on_every_python() -> None:
    async def flow() -> None:
        gate = activity("gate")

        async def waits() -> None:
            await asyncio.wait_for(passes(gate), 10)
            activity("waited")

        async def ticks() -> None:
            await asyncio.shield(gate)
            for number in range(3):
                activity(f"tick {number}")
                await asyncio.sleep(0)

        await asyncio.gather(waits(), ticks())
        await asyncio.tasks.wait_for(passes(asyncio.sleep(0)), timeout=None)

    driver = Driver(function_workflow(flow))
    driver.complete("gate")
    scheduled = [one.scheduled.activity_type for one in driver.run.activities.values()]

    assert scheduled == ["waited", "tick 0", "tick 1", "tick 2"]


async def passes(awaitable: Any) -> Any:
    return await awaitable


def test_wait_for_without_time_starts_nothing_and_gives_what_is_done() -> None:
    async def flow() -> list[Any]:
        done = asyncio.ensure_future(asyncio.sleep(0, "done"))
        await done
        seen = [await asyncio.wait_for(done, 0)]
        for seconds in (0, -1):
            try:
                await asyncio.wait_for(activity_result("never", 1), seconds)
            except TimeoutError as error:
                seen.append(type(error.__cause__).__name__)
        return seen

    driver = Driver(function_workflow(flow))

    assert driver.result() == ["done", "CancelledError", "CancelledError"]
    assert not driver.run.activities


def test_wait_for_that_is_cancelled_cancels_what_it_waits_for_before_it_raises() -> None:
    seen: list[str] = []

    async def inner() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            seen.append("inner")

    async def flow() -> None:
        task = asyncio.ensure_future(asyncio.wait_for(inner(), 100))
        await asyncio.sleep(1)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            seen.append("outer")

    driver = Driver(function_workflow(flow))
    driver.drive()

    assert seen == ["inner", "outer"]


async def test_wait_for_outside_workflow_code_is_stock() -> None:
    assert await asyncio.wait_for(asyncio.sleep(0, 1), 5) == 1


def test_gather_of_what_is_done_does_not_let_other_tasks_go_first() -> None:
    async def flow() -> list[Any]:
        done = [asyncio.ensure_future(passes(asyncio.sleep(0, number))) for number in (1, 2)]
        broken = asyncio.ensure_future(fails())
        gone = asyncio.ensure_future(asyncio.sleep(60))
        gone.cancel()
        await asyncio.wait([*done, broken, gone])
        other = asyncio.ensure_future(activity_result("other", 1))
        seen: list[Any] = [await asyncio.gather(*done, done[0])]
        seen.append([repr(one) for one in await asyncio.gather(broken, gone, return_exceptions=True)])
        for failed in (broken, gone):
            try:
                await asyncio.gather(failed, fails())
            except (ValueError, asyncio.CancelledError) as error:
                seen.append(type(error).__name__)
        activity("mine")
        await other
        return seen

    driver = Driver(function_workflow(flow))
    scheduled = [one.scheduled.activity_type for one in driver.run.activities.values()]
    driver.complete("other", 1)

    assert scheduled == ["mine", "other"]
    assert driver.result() == [
        [1, 2, 1],
        ["ValueError('broken')", "CancelledError()"],
        "ValueError",
        "CancelledError",
    ]


async def fails() -> None:
    raise ValueError("broken")


def test_as_completed_starts_its_timer_when_it_is_called() -> None:
    async def flow() -> list[Any]:
        found = asyncio.as_completed([activity_result("a", 1), asyncio.sleep(60)], timeout=5)
        activity("called")
        seen: list[Any] = []
        for one in found:
            try:
                seen.append(await one)
            except TimeoutError:
                seen.append("late")
        return seen

    driver = Driver(function_workflow(flow))
    begun = driver.outputs()[1:4]
    driver.complete("a", 1)
    driver.drive()

    assert begun == ["TimerStarted", "ActivityTaskScheduled", "ActivityTaskScheduled"]
    assert driver.result() == [1, "late"]
