"""Cancellation, timeouts, termination, failed turns and changed code, with a real worker."""

import asyncio
import logging
import threading
from datetime import timedelta

import pytest

from perdure import activity, exceptions, workflow
from perdure.client import Client, WorkflowClosedError, WorkflowExecutionStatus, WorkflowFailureError
from perdure.common import RetryPolicy
from perdure.exceptions import (
    ActivityError,
    CancelledError,
    TerminatedError,
    TimeoutType,
    is_cancelled_exception,
)
from tests.sdk.worker.conftest import MakeWorker

SOON = 20
ONCE = RetryPolicy(maximum_attempts=1)


class Bell:
    """Rung by activities, awaited by tests."""

    def __init__(self) -> None:
        self.rung = threading.Event()

    async def wait(self) -> None:
        assert await asyncio.to_thread(self.rung.wait, SOON)


bells: dict[str, Bell] = {}


@pytest.fixture
def bell(request: pytest.FixtureRequest) -> Bell:
    return bells.setdefault("bell", Bell())


@pytest.fixture(autouse=True)
def new_bells() -> None:
    bells.clear()


@activity.defn
async def never_ends() -> None:
    bells["bell"].rung.set()
    await asyncio.Event().wait()


@activity.defn(no_thread_cancel_exception=True)
def ends_when_cancelled() -> str:
    bells["bell"].rung.set()
    activity.wait_for_cancelled_sync(SOON)
    return "tidied up"


@activity.defn
def is_interrupted() -> None:
    bells["bell"].rung.set()
    waiter = threading.Event()
    while True:
        waiter.wait(0.01)


@workflow.defn
async def waits_for_activity() -> str:
    try:
        await never_ends()
    except ActivityError as error:
        assert is_cancelled_exception(error)
        raise
    return "?"


@workflow.defn
async def waits_for_tidy_activity() -> str:
    return await workflow.execute_activity(
        ends_when_cancelled, cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED
    )


@workflow.defn
async def waits_for_thread() -> None:
    await workflow.execute_activity(
        is_interrupted, cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED
    )


async def test_cancelling_a_workflow_cancels_its_activity_and_ends_canceled(
    client: Client, worker: MakeWorker, bell: Bell
):
    async with worker(workflows=[waits_for_activity]):
        handle = await client.start_workflow(waits_for_activity, id="cancel")
        await bell.wait()
        await handle.cancel(reason="changed my mind")
        with pytest.raises(WorkflowFailureError) as caught:
            await asyncio.wait_for(handle.result(), SOON)

    assert isinstance(caught.value.cause, CancelledError)
    assert (await handle.describe()).status is WorkflowExecutionStatus.CANCELED


async def test_an_activity_that_waits_for_cancellation_may_still_complete(
    client: Client, worker: MakeWorker, bell: Bell
):
    async with worker(workflows=[waits_for_tidy_activity]):
        handle = await client.start_workflow(waits_for_tidy_activity, id="cancel")
        await bell.wait()
        await handle.cancel()

        assert await asyncio.wait_for(handle.result(), SOON) == "tidied up"


async def test_a_sync_activity_is_interrupted_in_its_thread(client: Client, worker: MakeWorker, bell: Bell):
    async with worker(workflows=[waits_for_thread]):
        handle = await client.start_workflow(waits_for_thread, id="cancel")
        await bell.wait()
        await handle.cancel()
        with pytest.raises(WorkflowFailureError) as caught:
            await asyncio.wait_for(handle.result(), SOON)

    assert isinstance(caught.value.cause, CancelledError)


async def test_terminate_ends_a_run_whatever_it_does(client: Client, worker: MakeWorker, bell: Bell):
    async with worker(workflows=[waits_for_activity]):
        handle = await client.start_workflow(waits_for_activity, id="kill")
        await bell.wait()
        await handle.terminate("because", reason="stuck")
        with pytest.raises(WorkflowFailureError) as caught:
            await asyncio.wait_for(handle.result(), SOON)
        with pytest.raises(WorkflowClosedError) as closed:
            await handle.signal("anything")

    assert isinstance(caught.value.cause, TerminatedError)
    assert caught.value.cause.message == "stuck"
    assert closed.value.run_status == "terminated"


@workflow.defn
async def times_out(which: str) -> str:
    options = {
        "start_to_close": {"start_to_close_timeout": timedelta(milliseconds=30), "retry_policy": ONCE},
        "schedule_to_close": {"schedule_to_close_timeout": timedelta(milliseconds=30)},
        "heartbeat": {"heartbeat_timeout": timedelta(milliseconds=30), "retry_policy": ONCE},
    }[which]
    try:
        await workflow.execute_activity(never_ends, **options)
    except ActivityError as error:
        assert isinstance(error.cause, exceptions.TimeoutError)
        assert error.cause.type is not None
        return TimeoutType(error.cause.type).name
    return "?"


@pytest.mark.parametrize("which", ["start_to_close", "schedule_to_close", "heartbeat"])
async def test_each_clock_of_an_activity_ends_it(client: Client, worker: MakeWorker, bell: Bell, which: str):
    async with worker(workflows=[times_out]):
        result = await asyncio.wait_for(client.execute_workflow(times_out, which, id=which), SOON)

    assert result == which.upper()


@workflow.defn
async def waits_for_a_slot() -> str:
    blocker = workflow.start_activity(never_ends)
    try:
        await workflow.execute_activity(never_ends, schedule_to_start_timeout=timedelta(milliseconds=30))
    except ActivityError as error:
        assert isinstance(error.cause, exceptions.TimeoutError)
        assert error.cause.type is not None
        blocker.cancel()
        return TimeoutType(error.cause.type).name
    return "?"


async def test_an_activity_without_a_slot_times_out_before_its_start(
    client: Client, worker: MakeWorker, bell: Bell
):
    async with worker(workflows=[waits_for_a_slot], max_concurrent_activities=1):
        result = await asyncio.wait_for(client.execute_workflow(waits_for_a_slot, id="slot"), SOON)

    assert result == "SCHEDULE_TO_START"


broken = {"now": True}


@activity.defn
async def counted() -> int:
    bells.setdefault("counted", Bell())
    made.append(1)
    return len(made)


made: list[int] = []


@workflow.defn
class Fragile:
    @workflow.run
    async def run(self) -> int:
        result = await counted()
        if broken["now"]:
            raise RuntimeError("a bug in the workflow")
        return result


async def test_an_exception_in_a_class_workflow_fails_the_turn_until_the_code_is_mended(
    client: Client, worker: MakeWorker, caplog: pytest.LogCaptureFixture
):
    broken["now"] = True
    made.clear()
    async with worker(workflows=[Fragile]):
        handle = await client.start_workflow(Fragile.run, id="fragile")
        while (description := await handle.describe()).problem is None:
            await asyncio.sleep(0.01)
        broken["now"] = False
        await handle.signal("poke")

        result = await asyncio.wait_for(handle.result(), SOON)

    assert result == 1
    assert made == [1], "the result of the activity was kept although the turn failed"
    assert description.status is WorkflowExecutionStatus.RUNNING
    assert description.problem is not None
    assert description.problem.kind == "RuntimeError"
    assert "a bug in the workflow" in description.problem.traceback
    assert (await handle.describe()).problem is None


@workflow.defn(name="changing")
async def first_version() -> str:
    await counted()
    await asyncio.sleep(3600)
    return "first"


@workflow.defn(name="changing")
async def second_version() -> str:
    await asyncio.sleep(3600)
    await counted()
    return "second"


async def test_changed_code_is_refused_before_anything_is_written(client: Client, worker: MakeWorker):
    async with worker(workflows=[first_version]):
        handle = await client.start_workflow("changing", id="changing")
        while len((await handle.fetch_history()).events) < 4:
            await asyncio.sleep(0.01)
    before = await handle.fetch_history()

    async with worker(workflows=[second_version]):
        await handle.signal("look")
        while (problem := (await handle.describe()).problem) is None:
            await asyncio.sleep(0.01)

    assert problem.kind == "NonDeterminismError"
    assert "event 2" in problem.message
    assert "test_ends_and_failures.py" in problem.message
    assert (await handle.fetch_history()).events == before.events


async def test_an_unknown_activity_says_which_are_known_and_goes_on_when_it_is_there(
    client: Client, worker: MakeWorker, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.ERROR)
    async with worker(workflows=[calls_by_name], activities=[never_ends]):
        handle = await client.start_workflow(calls_by_name, id="unknown")
        while not (pending := (await handle.describe()).pending_activities) or not pending[0].last_failure:
            await asyncio.sleep(0.01)

    assert pending[0].last_failure.type == "NotFoundError"
    assert "'never_ends'" in pending[0].last_failure.message
    async with worker(workflows=[calls_by_name], activities=[counted]):
        assert await asyncio.wait_for(handle.result(), SOON)


@workflow.defn
async def calls_by_name() -> int:
    return await workflow.execute_activity("counted", retry_policy=RetryPolicy(timedelta(milliseconds=1)))


@workflow.defn
async def wrong_arguments() -> str:
    try:
        await workflow.execute_activity("takes_a_number", "seven")
    except ActivityError as error:
        return str(error.cause)
    return "?"


@activity.defn
async def takes_a_number(number: int) -> int:
    return number


async def test_arguments_of_the_wrong_type_fail_the_activity_at_once(client: Client, worker: MakeWorker):
    async with worker(workflows=[wrong_arguments], activities=[takes_a_number]):
        result = await asyncio.wait_for(client.execute_workflow(wrong_arguments, id="wrong"), SOON)

    assert "takes_a_number" in result
    assert "int" in result
