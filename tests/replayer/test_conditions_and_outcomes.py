"""When conditions are asked, and how a run ends."""

import asyncio
from typing import Any

import pytest

from perdure_replayer.definition import WorkflowDefinition
from perdure_replayer.errors import BrokenRunError, TurnFailedError
from tests.replayer.driver import (
    AppError,
    Driver,
    activity,
    assert_replays,
    class_workflow,
    function_workflow,
    here,
    signal,
)

ASKED: list[str] = []


def test_conditions_are_asked_in_order_after_each_drain_and_only_in_turns() -> None:
    """D4: by the same code live and in replay."""

    class Conditions:
        def __init__(self) -> None:
            self.level = 0

        def raise_level(self) -> None:
            self.level += 1

        def at_least(self, name: str, level: int) -> bool:
            ASKED.append(name)
            return self.level >= level

        async def run(self) -> str:
            async def follow() -> None:
                await here().wait_condition(lambda: self.at_least("second", 1))
                self.level += 1

            task = asyncio.create_task(follow())
            await here().wait_condition(lambda: self.at_least("first", 2))
            await task
            return "done"

        def level_now(self) -> int:
            return self.level

    definition = class_workflow(Conditions, signals=["raise_level"], queries=["level_now"])
    ASKED.clear()
    driver = Driver(definition)
    assert ASKED == ["first", "second"]
    driver.run.query("level_now", [])
    assert ASKED == ["first", "second"]

    driver.step(signal("raise_level"))

    assert ASKED == ["first", "second", "first", "second", "first"]
    assert driver.result() == "done"
    ASKED.clear()
    driver.load()
    assert ASKED == ["first", "second", "first", "second", "first"]


def test_condition_that_raises_raises_where_it_is_awaited() -> None:
    async def broken() -> str:
        try:
            await here().wait_condition(lambda: 1 // 0 == 0)
        except ZeroDivisionError:
            return "caught"
        return "true"

    driver = Driver(function_workflow(broken))

    assert driver.result() == "caught"


def test_condition_may_time_out() -> None:
    async def waits() -> str:
        try:
            await asyncio.wait_for(here().wait_condition(lambda: False), 5)
        except TimeoutError:
            return "late"
        return "true"

    driver = Driver(function_workflow(waits))

    driver.fire()

    assert driver.result() == "late"
    assert_replays(driver.definition, driver.history)


def test_clock_moving_between_turns_is_seen_by_conditions_alike() -> None:
    class Watches:
        def tick(self) -> None: ...

        async def run(self) -> int:
            begin = here().time_us()
            await here().wait_condition(lambda: here().time_us() > begin + 1_500_000)
            return here().time_us() - begin

    driver = Driver(class_workflow(Watches, signals=["tick"]))

    driver.step(signal("tick", request_id="1"))
    driver.step(signal("tick", request_id="2"))

    assert driver.result() == 2_000_000
    assert_replays(driver.definition, driver.history)


async def _ordinary() -> None:
    raise ValueError("broken")


async def _unencodable() -> object:
    return object()


async def _needs_argument(argument: int) -> int:
    return argument


async def _base_exception() -> None:
    raise BaseException("below everything")  # noqa: TRY002  # what no handler expects


async def _names_an_address() -> None:
    raise ValueError(f"cannot use {object()!r}")


@pytest.mark.parametrize("code", [_ordinary, _unencodable, _needs_argument])
def test_ordinary_exception_fails_a_function_workflow(code: Any) -> None:
    driver = Driver(function_workflow(code))

    assert driver.outputs()[-1] == "WorkflowExecutionFailed"
    assert_replays(driver.definition, driver.history)


@pytest.mark.parametrize("code", [_ordinary, _unencodable, _needs_argument, _base_exception])
def test_ordinary_exception_fails_the_turn_of_a_class_workflow(code: Any) -> None:
    definition = WorkflowDefinition("code", code, None, arg_types=None, failure_exception_types=(AppError,))

    with pytest.raises(TurnFailedError):
        Driver(definition)


def test_constructor_takes_the_arguments_where_it_wants_them() -> None:
    class Made:
        def __init__(self, order: str) -> None:
            self.order = [order, str(here().uuid4())]

        async def run(self, order: str) -> list[str]:
            return [order, *self.order]

    driver = Driver(class_workflow(Made, init_takes_args=True), "o1")

    assert driver.result()[:2] == ["o1", "o1"]
    assert_replays(driver.definition, driver.history)


def test_closing_event_is_the_last_of_its_turn() -> None:
    async def hurries() -> str:
        async def straggle() -> None:
            activity("straggler")

        task = asyncio.create_task(straggle())
        return task.get_name()

    driver = Driver(function_workflow(hurries))

    assert driver.outputs()[-2:] == ["ActivityTaskScheduled", "WorkflowExecutionCompleted"]
    assert driver.run.closed
    assert_replays(driver.definition, driver.history)


def test_result_that_does_not_decode_raises_where_it_is_awaited() -> None:
    async def strict() -> str:
        try:
            return str(await activity("step", result_type=int))
        except Exception as error:  # noqa: BLE001  # whatever the converter says
            return type(error).__name__

    driver = Driver(function_workflow(strict))

    driver.complete("step", "not a number")

    assert driver.result() == "ValidationError"
    assert_replays(driver.definition, driver.history)


def test_addresses_in_a_message_are_no_divergence() -> None:
    driver = Driver(function_workflow(_names_an_address))
    junk = [object() for _ in range(1000)]

    driver.load()

    assert junk


def test_timer_without_delay_is_over_in_its_turn_and_may_be_cancelled() -> None:
    async def instant() -> str:
        await here().start_timer(0)
        cancelled = here().start_timer(-5)
        cancelled.cancel()
        await asyncio.sleep(0)
        return str(cancelled.cancelled())

    driver = Driver(function_workflow(instant))

    assert driver.result() == "True"
    assert "TimerStarted" not in driver.outputs()


def test_run_asked_between_its_turns_refuses() -> None:
    held: list[Any] = []

    async def hands_out() -> None:
        held.append(here())
        await activity("step")

    driver = Driver(function_workflow(hands_out))

    with pytest.raises(BrokenRunError, match="none of its turns"):
        held[0].start_timer(5)
    driver.drive()
