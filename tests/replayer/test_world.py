"""Workflow code and the world: what its loop refuses, its chance, its logs, and the host's loop around it."""

import asyncio
import logging
import sys
from collections.abc import AsyncIterator, Callable
from contextvars import ContextVar
from typing import Any

import pytest

from perdure_replayer.errors import RestrictedCallError, TurnFailedError
from perdure_replayer.runtime import find
from perdure_replayer.turn import LiveRun
from tests.replayer.driver import (
    CONVERTER,
    RUN_ID,
    START,
    Driver,
    activity,
    assert_replays,
    class_workflow,
    function_workflow,
    here,
    start_event,
)


async def _to_thread() -> None:
    await asyncio.to_thread(print)


async def _connect() -> None:
    await asyncio.open_connection("localhost", 1)


async def _subprocess() -> None:
    await asyncio.create_subprocess_exec("true")


async def _threadsafe() -> None:
    asyncio.get_running_loop().call_soon_threadsafe(print)


async def _reader() -> None:
    asyncio.get_running_loop().add_reader(0, print)


async def _exception_handler() -> None:
    asyncio.get_running_loop().set_exception_handler(None)


async def _stop() -> None:
    asyncio.get_running_loop().stop()


@pytest.mark.parametrize(
    "code", [_to_thread, _connect, _subprocess, _threadsafe, _reader, _exception_handler, _stop]
)
def test_loop_refuses_the_world_with_line_and_cure(code: Callable[[], Any]) -> None:
    class Worldly:
        async def run(self) -> None:
            await code()

    with pytest.raises(TurnFailedError) as failed:
        Driver(class_workflow(Worldly))

    error = failed.value.error
    assert isinstance(error, RestrictedCallError)
    assert f"{__file__}:" in error.where
    assert error.cure in str(error)


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), 1e12])
def test_timer_for_what_is_not_a_moment_is_refused(seconds: float) -> None:
    async def forever() -> None:
        asyncio.get_running_loop().call_later(seconds, print)

    driver = Driver(function_workflow(forever))

    assert "finite number" in driver.history[-1].event.failure.message  # type: ignore[union-attr]


def test_chance_is_the_same_on_replay_and_its_streams_do_not_shift_each_other() -> None:
    async def draws(extra: bool) -> list[str]:
        seen = [str(here().uuid4()), str(here().uuid7())]
        if extra:
            here().random.random()
            here().new_random().random()
        await activity("step")
        return [*seen, str(here().uuid4()), str(here().uuid7())]

    plain, shifted = (Driver(function_workflow(draws), extra) for extra in (False, True))
    for driver in (plain, shifted):
        driver.drive()
        assert_replays(driver.definition, driver.history)

    assert plain.result() == shifted.result()
    first, later = plain.result()[1], plain.result()[3]
    assert len(set(plain.result())) == 4
    assert first < later
    assert first[14] == "7"
    assert plain.result()[0][14] == "4"


def test_runs_find_themselves_and_nobody_else() -> None:
    async def finds() -> str:
        return here().run_id

    driver = Driver(function_workflow(finds))

    assert driver.result() == RUN_ID
    assert find() is None


async def test_turn_inside_a_host_task_leaves_the_host_as_it_was() -> None:
    async def current() -> list[str]:
        async with asyncio.timeout(5):
            task = asyncio.current_task()
            await asyncio.sleep(1)
        return [task.get_name() if task else "", str(len(asyncio.all_tasks()))]

    host, hooks = asyncio.current_task(), sys.get_asyncgen_hooks()
    loop = asyncio.get_running_loop()

    driver = Driver(function_workflow(current))
    driver.drive()

    assert driver.result() == ["current", "1"]
    assert (asyncio.current_task(), asyncio.get_running_loop()) == (host, loop)
    assert sys.get_asyncgen_hooks() == hooks
    await asyncio.sleep(0)


async def test_turn_inside_a_host_callback_works_too() -> None:
    async def plain() -> str:
        await asyncio.sleep(1)
        return "done"

    done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

    def turns() -> None:
        driver = Driver(function_workflow(plain))
        driver.drive()
        done.set_result(driver.result())

    asyncio.get_running_loop().call_soon(turns)

    assert await asyncio.wait_for(done, 5) == "done"


_HOST: ContextVar[str] = ContextVar("_HOST", default="nothing")


def test_context_variables_of_the_host_do_not_reach_workflow_code() -> None:
    async def peeks() -> list[str]:
        first = _HOST.get()
        await activity("step")
        return [first, _HOST.get()]

    token = _HOST.set("the worker's")
    try:
        driver = Driver(function_workflow(peeks))
        driver.drive()
    finally:
        _HOST.reset(token)

    assert driver.result() == ["nothing", "nothing"]


def test_callback_that_raises_is_logged_once_and_not_on_replay(caplog: pytest.LogCaptureFixture) -> None:
    async def careless() -> str:
        def crash() -> None:
            raise ValueError("in a callback")

        asyncio.get_running_loop().call_soon(crash)
        await activity("step")
        return "done"

    driver = Driver(function_workflow(careless))
    assert caplog.text.count("ValueError: in a callback") == 1
    driver.drive()
    caplog.clear()

    LiveRun(RUN_ID, driver.definition, CONVERTER).replay(driver.history)

    assert caplog.records == []


def test_logger_may_be_given(caplog: pytest.LogCaptureFixture) -> None:
    async def careless() -> None:
        asyncio.get_running_loop().call_exception_handler({"message": "odd"})

    definition = function_workflow(careless)
    run = LiveRun(RUN_ID, definition, CONVERTER, logger=logging.getLogger("mine"))

    run.advance([start_event(definition)], now=START)

    assert [record.name for record in caplog.records] == ["mine"]


def test_process_exit_in_workflow_code_fails_the_turn_only() -> None:
    async def exits() -> None:
        sys.exit(3)

    with pytest.raises(TurnFailedError, match="SystemExit"):
        Driver(function_workflow(exits))


def test_async_generators_and_context_managers_work() -> None:
    async def numbers() -> AsyncIterator[int]:
        for number in range(3):
            await asyncio.sleep(1)
            yield number

    async def sums() -> int:
        return sum([number async for number in numbers()])

    driver = Driver(function_workflow(sums))
    driver.drive()

    assert driver.result() == 3
    assert_replays(driver.definition, driver.history)
