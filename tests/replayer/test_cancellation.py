"""Cancelling an activity, a timer, and the run itself."""

import asyncio
import gc
from typing import Any

import pytest

from perdure_history.events import ActivityTaskCanceled, TimerFired
from perdure_history.failures import FailureKind
from perdure_replayer.commands import CancellationType
from tests.replayer.driver import (
    AppError,
    Driver,
    activity,
    assert_replays,
    cancel_request,
    class_workflow,
    function_workflow,
    here,
)


async def cancels(kind: int) -> str:
    slow = activity("slow", cancellation_type=CancellationType(kind))
    await activity("go")
    slow.cancel()
    try:
        answer = await slow
    except AppError as error:
        assert error.failure is not None
        assert error.failure.kind is FailureKind.ACTIVITY
        assert error.failure.cause is not None
        answer = error.failure.cause.kind.value
    await activity("after")
    return str(answer)


CANCELS = function_workflow(cancels)


def test_try_cancel_asks_and_raises_at_once() -> None:
    driver = Driver(CANCELS, CancellationType.TRY_CANCEL)

    turn = driver.complete("go")

    assert [type(event).__name__ for event in turn.outputs] == [
        "ActivityTaskCancelRequested", "ActivityTaskScheduled",
    ]  # fmt: skip
    driver.step(ActivityTaskCanceled(scheduled_seq=2))
    driver.complete("after")
    assert driver.result() == "canceled"
    assert_replays(CANCELS, driver.history)


def test_wait_cancellation_completed_asks_and_waits_for_the_outcome() -> None:
    driver = Driver(CANCELS, CancellationType.WAIT_CANCELLATION_COMPLETED)

    turn = driver.complete("go")

    assert [type(event).__name__ for event in turn.outputs] == ["ActivityTaskCancelRequested"]
    assert driver.run.activities[2].cancel_requested
    driver.step(ActivityTaskCanceled(scheduled_seq=2))
    driver.complete("after")
    assert driver.result() == "canceled"
    assert_replays(CANCELS, driver.history)


def test_abandon_asks_nobody_and_ignores_the_late_outcome() -> None:
    driver = Driver(CANCELS, CancellationType.ABANDON)

    turn = driver.complete("go")

    assert [type(event).__name__ for event in turn.outputs] == ["ActivityTaskScheduled"]
    driver.complete("slow", "too late")
    driver.complete("after")
    assert driver.result() == "canceled"
    assert_replays(CANCELS, driver.history)


def test_cancelling_the_awaiting_task_cancels_the_activity() -> None:
    async def awaits() -> str:
        async def wait() -> object:
            return await activity("slow")

        task = asyncio.create_task(wait())
        await activity("go")
        task.cancel()
        try:
            await task
        except AppError as error:
            return str(error)
        return "not cancelled"

    driver = Driver(function_workflow(awaits))

    driver.complete("go")

    assert driver.result() == "Activity cancelled"
    assert driver.outputs()[-2:] == ["ActivityTaskCancelRequested", "WorkflowExecutionCompleted"]
    assert_replays(driver.definition, driver.history)


def test_timer_that_fires_in_the_turn_in_which_it_is_cancelled_stays_fired() -> None:
    async def races() -> str:
        sleeper = asyncio.create_task(asyncio.sleep(5))
        await activity("go")
        sleeper.cancel()
        await asyncio.wait([sleeper])
        return "cancelled" if sleeper.cancelled() else "slept"

    driver = Driver(function_workflow(races))
    timer = next(iter(driver.run.timers))

    driver.now += 5_000_000
    driver.step(driver.completed("go"), TimerFired(timer_seq=timer))

    assert "TimerCanceled" not in driver.outputs()
    assert driver.result() == "cancelled"
    assert_replays(driver.definition, driver.history)


class Cleans:
    """Gives what it took back when it is cancelled."""

    async def run(self, swallow: bool = False) -> str:
        try:
            await asyncio.sleep(1000)
        except asyncio.CancelledError:
            await activity("refund", here().cancellation_reason)
            if not swallow:
                raise
        return "swallowed"


def test_cancel_request_reaches_the_main_coroutine_and_closes_the_run() -> None:
    driver = Driver(class_workflow(Cleans))

    driver.step(cancel_request("changed my mind"))
    driver.step(cancel_request("again"))
    driver.drive()

    assert driver.outputs()[-1] == "WorkflowExecutionCanceled"
    assert driver.outputs().count("ActivityTaskScheduled") == 1
    assert "ActivityTaskCancelRequested" not in driver.outputs()
    assert_replays(driver.definition, driver.history)


def test_workflow_may_swallow_its_cancellation() -> None:
    driver = Driver(class_workflow(Cleans), True)

    driver.step(cancel_request())
    driver.drive()

    assert driver.result() == "swallowed"
    assert_replays(driver.definition, driver.history)


def test_cancel_request_with_the_start_lets_the_code_reach_its_first_wait() -> None:
    driver = Driver(class_workflow(Cleans), begin=[cancel_request("early")])

    driver.drive()

    assert driver.outputs()[:3] == [
        "WorkflowExecutionStarted", "WorkflowExecutionCancelRequested", "ActivityTaskScheduled",
    ]  # fmt: skip
    assert driver.outputs()[-1] == "WorkflowExecutionCanceled"
    assert_replays(driver.definition, driver.history)


async def _cancels_itself() -> None:
    raise asyncio.CancelledError


async def _lets_activity_cancellation_through() -> Any:
    slow = activity("slow")
    await activity("go")
    slow.cancel()
    return await slow


@pytest.mark.parametrize("workflow", [_cancels_itself, _lets_activity_cancellation_through])
def test_cancellation_that_nobody_requested_fails_the_run(workflow: Any) -> None:
    driver = Driver(function_workflow(workflow))

    if not driver.run.closed:
        driver.complete("go")

    assert driver.outputs()[-1] == "WorkflowExecutionFailed"
    assert_replays(driver.definition, driver.history)


def test_outcome_in_the_turn_of_the_cancel_request_leaves_nothing_to_cancel() -> None:
    class Waits:
        async def run(self) -> str:
            return str(await activity("slow"))

    driver = Driver(class_workflow(Waits))

    driver.step(cancel_request(), driver.completed("slow", "done"))

    assert "ActivityTaskCancelRequested" not in driver.outputs()
    assert driver.outputs()[-1] == "WorkflowExecutionCanceled"
    assert_replays(driver.definition, driver.history)


def test_cancelled_activity_that_nobody_awaits_is_not_complained_about(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def forgets() -> str:
        slow = activity("slow")
        await activity("go")
        slow.cancel()
        del slow
        return "done"

    driver = Driver(function_workflow(forgets))

    driver.complete("go")
    del driver
    gc.collect()

    assert caplog.records == []
