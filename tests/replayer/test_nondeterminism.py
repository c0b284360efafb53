"""Code that asks for something else than its history records is told so: both sides, the event and the line."""

import asyncio
import linecache
from collections.abc import Callable
from types import FunctionType
from typing import Any

import pytest

from perdure_history.events import WorkflowExecutionSignaled
from perdure_replayer.errors import NonDeterminismError
from perdure_replayer.turn import HistoryEvent, LiveRun
from tests.replayer import driver as driver_module
from tests.replayer.driver import CONVERTER, RUN_ID, Driver, function_workflow, here, signal

# The tests' own helper stands for perdure.workflow here: its lines are not the user's.
activity = FunctionType(
    driver_module.activity.__code__, {**vars(driver_module), "__name__": "perdure.workflow"}, "activity"
)
activity.__kwdefaults__ = driver_module.activity.__kwdefaults__


async def recorded() -> str:
    await activity("charge", {"id": 1})
    await asyncio.sleep(5)
    await asyncio.gather(activity("ship", 2), activity("mail", 3))
    return "done"


async def other_argument() -> str:
    await activity("charge", {"id": 2})
    return "done"


async def other_name() -> str:
    await activity("refund", {"id": 1})
    return "done"


async def other_kind() -> str:
    await here().start_timer(1_000_000)
    return "done"


async def other_delay() -> str:
    await activity("charge", {"id": 1})
    await asyncio.sleep(6)
    return "done"


async def other_order() -> str:
    await activity("charge", {"id": 1})
    await asyncio.sleep(5)
    await asyncio.gather(activity("mail", 3), activity("ship", 2))
    return "done"


async def asks_for_more() -> str:
    await activity("charge", {"id": 1})
    await asyncio.sleep(5)
    await asyncio.gather(activity("ship", 2), activity("mail", 3), activity("extra"))
    return "done"


async def asks_for_less() -> str:
    await activity("charge", {"id": 1})
    await asyncio.sleep(5)
    await activity("ship", 2)
    return "done"


async def returns_early() -> str:
    await activity("charge", {"id": 1})
    return "done"


async def waits_longer() -> str:
    await recorded()
    await here().wait_condition(lambda: False)
    return "done"


async def other_result() -> str:
    return await recorded() + "!"


async def fails() -> str:
    await recorded()
    raise ValueError("not done")


async def cancels() -> str:
    await activity("charge", {"id": 1})
    timer = asyncio.ensure_future(asyncio.sleep(5))
    await asyncio.sleep(0)
    timer.cancel()
    return await recorded()


CASES: list[tuple[Callable[[], Any], int, str, str, str]] = [
    (other_argument, 2, 'charge({"id":1})', 'charge({"id":2})', 'activity("charge", {"id": 2})'),
    (other_name, 2, 'charge({"id":1})', 'refund({"id":1})', 'activity("refund"'),
    (other_kind, 2, "ActivityTaskScheduled charge", "TimerStarted(1s)", "start_timer"),
    (other_delay, 4, "TimerStarted(5s)", "TimerStarted(6s)", "asyncio.sleep(6)"),
    (other_order, 6, "ship(2)", "mail(3)", "asyncio.gather"),
    (asks_for_more, 8, "nothing", "extra()", 'activity("extra")'),
    (asks_for_less, 7, "mail(3)", "nothing", 'activity("ship", 2)'),
    (returns_early, 4, "TimerStarted(5s)", 'WorkflowExecutionCompleted("done")', "def returns_early"),
    (waits_longer, 10, 'WorkflowExecutionCompleted("done")', "nothing", "wait_condition"),
    (other_result, 10, '("done")', '("done!")', "def other_result"),
    (
        fails,
        10,
        "WorkflowExecutionCompleted",
        "WorkflowExecutionFailed(ValueError: not done)",
        "raise ValueError",
    ),
    (cancels, 4, "TimerStarted(5s)", "ActivityTaskScheduled charge", 'activity("charge"'),
]


def history() -> list[HistoryEvent]:
    driver = Driver(function_workflow(recorded))
    driver.drive()
    return driver.history


@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0].__name__)
def test_first_difference_is_shown_from_both_sides_with_its_line(
    case: tuple[Callable[[], Any], int, str, str, str],
) -> None:
    code, seq, was, asked, line = case
    run = LiveRun(RUN_ID, function_workflow(code), CONVERTER)

    with pytest.raises(NonDeterminismError) as caught:
        run.replay(history())

    error = caught.value
    assert (error.run_id, error.seq) == (RUN_ID, seq)
    assert was in error.recorded
    assert asked in error.issued
    file, _, number = error.where.rpartition(":")
    assert line in linecache.getline(file, int(number))
    assert f"event {seq}" in str(error)
    run.evict()


def test_line_is_found_when_the_history_comes_in_portions() -> None:
    rows = history()
    run = LiveRun(RUN_ID, function_workflow(other_delay), CONVERTER)
    run.replay(rows[:2])

    with pytest.raises(NonDeterminismError, match="TimerStarted") as caught:
        run.replay(rows[2:])

    file, _, number = caught.value.where.rpartition(":")
    assert "asyncio.sleep(6)" in linecache.getline(file, int(number))


def test_what_is_not_compared_may_change_under_a_running_workflow() -> None:
    async def retuned() -> str:
        await activity("charge", {"id": 1}, start_to_close_timeout_us=7, summary="new", task_queue="main")
        await here().start_timer(5_000_000, summary="new")
        await asyncio.gather(activity("ship", 2), activity("mail", 3, heartbeat_timeout_us=3))
        return "done"

    LiveRun(RUN_ID, function_workflow(retuned), CONVERTER).replay(history())


@pytest.mark.parametrize("options", [{"activity_id": "mine"}, {"task_queue": "elsewhere"}])
def test_explicit_id_and_queue_are_compared(options: dict[str, Any]) -> None:
    async def explicit() -> None:
        await activity("charge", {"id": 1}, **options)

    with pytest.raises(NonDeterminismError) as caught:
        LiveRun(RUN_ID, function_workflow(explicit), CONVERTER).replay(history())

    assert caught.value.recorded != caught.value.issued


def test_nothing_is_appended_and_the_run_stays_refused() -> None:
    run = LiveRun(RUN_ID, function_workflow(other_name), CONVERTER)
    with pytest.raises(NonDeterminismError):
        run.replay(history())

    late = WorkflowExecutionSignaled(signal_name="late", request_id="r")

    with pytest.raises(Exception, match="code and its history disagree"):
        run.advance([late], now=0)


def test_code_that_answers_differently_each_time_is_said_to() -> None:
    answers = iter([1, 1])

    async def fickle() -> None:
        await activity("charge", {"id": next(answers, 0) + 1})

    with pytest.raises(NonDeterminismError) as caught:
        LiveRun(RUN_ID, function_workflow(fickle), CONVERTER).replay(history())

    assert caught.value.seq == 2
    assert signal("x") != caught.value
