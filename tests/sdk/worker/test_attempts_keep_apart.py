"""An attempt that was given up may run on: nothing it does touches its successor, or the outcome."""

import asyncio
import gc
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from perdure import activity, exceptions, workflow
from perdure.client import Client, WorkflowFailureError
from perdure.common import RetryPolicy
from perdure.worker._attempt import Attempt
from perdure.worker._due import DueQueue
from perdure.worker._threads import ThreadCall
from tests.sdk.worker.conftest import MakeWorker

SOON = 20
SHORT = timedelta(milliseconds=200)
LONGER = timedelta(milliseconds=600)
QUICKLY = RetryPolicy(initial_interval=timedelta(milliseconds=1))
TWICE = RetryPolicy(initial_interval=timedelta(milliseconds=1), maximum_attempts=2)


class Panic(BaseException):
    """As extension modules raise it."""


class Stage:
    """What the activities of one test share."""

    def __init__(self) -> None:
        self.begun = 0
        self.told: list[Any] = []
        self.second_began = threading.Event()
        self.first_ended = threading.Event()


stage = Stage()


@pytest.fixture(autouse=True)
def new_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "stage", Stage())


@activity.defn(no_thread_cancel_exception=True)
def first_outlives_its_limit() -> None:
    """The first attempt ends while the second runs; the second ends only when it is told to."""
    stage.begun += 1
    if stage.begun == 1:
        stage.second_began.wait(SOON)
        stage.told.append(activity.info().attempt)
        stage.first_ended.set()
    elif stage.begun == 2:
        stage.second_began.set()
        activity.wait_for_cancelled_sync(SOON)
        stage.told.append(activity.cancellation_details())


@activity.defn(no_thread_cancel_exception=True)
def first_beats_for_ever() -> None:
    mine = stage
    mine.begun += 1
    if mine.begun == 1:
        activity.wait_for_cancelled_sync(SOON)
        while not mine.first_ended.wait(0.02):
            activity.heartbeat("from the first")
    else:
        activity.wait_for_cancelled_sync(SOON)
        mine.first_ended.set()


@activity.defn
async def panics() -> None:
    raise Panic("deep down")


@activity.defn
async def waits_for_what_is_cancelled() -> int:
    stage.begun += 1
    if stage.begun == 1:
        future = asyncio.get_running_loop().create_future()
        future.cancel()
        await future
    return stage.begun


@activity.defn
async def cancelled_from_outside() -> int:
    stage.begun += 1
    if stage.begun == 1:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.Event().wait()
    return stage.begun


@activity.defn
async def fails_and_then_hangs() -> None:
    stage.begun += 1
    if stage.begun == 1:
        raise ValueError("first")
    await asyncio.Event().wait()


@activity.defn
async def returns() -> None:
    pass


@workflow.defn
async def outlived() -> None:
    await workflow.execute_activity(
        first_outlives_its_limit, start_to_close_timeout=SHORT, retry_policy=QUICKLY
    )


@workflow.defn
async def beaten() -> None:
    await workflow.execute_activity(first_beats_for_ever, heartbeat_timeout=SHORT, retry_policy=TWICE)


@workflow.defn
async def panicking() -> None:
    await workflow.execute_activity(panics, retry_policy=TWICE)


@workflow.defn
async def waiting_for_cancelled() -> int:
    return await workflow.execute_activity(waits_for_what_is_cancelled, retry_policy=QUICKLY)


@workflow.defn
async def cancelled_outside() -> int:
    return await workflow.execute_activity(cancelled_from_outside, retry_policy=QUICKLY)


@workflow.defn
async def failing_late() -> None:
    await workflow.execute_activity(
        fails_and_then_hangs, schedule_to_close_timeout=LONGER, retry_policy=QUICKLY
    )


@workflow.defn
async def with_a_day_to_close() -> None:
    await workflow.execute_activity(returns, schedule_to_close_timeout=timedelta(days=1))


async def test_late_end_of_an_attempt_leaves_the_clocks_of_the_next_alone(
    client: Client, worker: MakeWorker
) -> None:
    async with worker(workflows=[outlived]):
        await asyncio.wait_for(client.execute_workflow(outlived, id="outlived"), SOON)

    assert stage.first_ended.is_set()
    assert stage.begun >= 3
    number, why = stage.told
    assert number == 1
    assert why.timed_out


async def test_heartbeats_of_an_attempt_given_up_do_not_count_for_the_next(
    client: Client, worker: MakeWorker
) -> None:
    async with worker(workflows=[beaten]):
        with pytest.raises(WorkflowFailureError) as told:
            await asyncio.wait_for(client.execute_workflow(beaten, id="beaten"), SOON)

    error = told.value.__cause__
    assert isinstance(error, exceptions.ActivityError)
    assert isinstance(error.__cause__, exceptions.TimeoutError)
    assert error.__cause__.type is exceptions.TimeoutType.HEARTBEAT
    assert stage.begun == 2


async def test_whatever_is_raised_ends_the_attempt(client: Client, worker: MakeWorker) -> None:
    async with worker(workflows=[panicking]):
        with pytest.raises(WorkflowFailureError) as told:
            await asyncio.wait_for(client.execute_workflow(panicking, id="panicking"), SOON)

    error = told.value.__cause__
    assert isinstance(error, exceptions.ActivityError)
    assert isinstance(error.__cause__, exceptions.ApplicationError)
    assert error.__cause__.type == "Panic"


@pytest.mark.parametrize("flow", [waiting_for_cancelled, cancelled_outside])
async def test_cancellation_nobody_asked_for_is_followed_by_another_attempt(
    client: Client, worker: MakeWorker, flow: Callable[[], Any]
) -> None:
    async with worker(workflows=[flow]):
        result = await asyncio.wait_for(client.execute_workflow(flow, id="cancelled"), SOON)

    assert result == 2


async def test_deadline_that_passes_while_a_failure_is_noted_is_kept(
    client: Client, worker: MakeWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit_turns = client.store.commit_turns

    async def commit_notes_late(incarnation: str, batch: Any) -> Any:
        if any(row.type == "ActivityTaskAttemptFailed" for one in batch for row in one.rows):
            await asyncio.sleep(1.2 * LONGER.total_seconds())  # the store is busy until the deadline is past
        return await commit_turns(incarnation, batch)

    monkeypatch.setattr(client.store, "commit_turns", commit_notes_late)

    async with worker(workflows=[failing_late]):
        with pytest.raises(WorkflowFailureError) as told:
            await asyncio.wait_for(client.execute_workflow(failing_late, id="late"), SOON)

    error = told.value.__cause__
    assert isinstance(error, exceptions.ActivityError)
    assert isinstance(error.__cause__, exceptions.TimeoutError)
    assert error.__cause__.type is exceptions.TimeoutType.SCHEDULE_TO_CLOSE
    assert stage.begun == 1


async def test_clocks_of_a_finished_activity_keep_nothing_alive(client: Client, worker: MakeWorker) -> None:
    async with worker(workflows=[with_a_day_to_close]):
        for number in range(3):
            await asyncio.wait_for(client.execute_workflow(with_a_day_to_close, id=str(number)), SOON)
        gc.collect()
        alive = [
            one
            for one in gc.get_objects()
            if isinstance(one, Attempt) and one.scheduled.activity_type == "returns"
        ]

    assert len(alive) <= 1


def test_call_interrupted_before_it_began_is_not_made() -> None:
    made: list[int] = []
    call = ThreadCall(made.append, [1], throws=False)

    call.interrupt()

    with pytest.raises(exceptions.CancelledError):
        call()
    assert not made


def test_stop_iteration_on_a_thread_is_told_as_an_error_a_future_can_carry() -> None:
    call = ThreadCall(next, [iter(())])

    with pytest.raises(RuntimeError, match="StopIteration"):
        call()


async def test_cleared_entries_show_that_they_are_no_longer_planned() -> None:
    due = DueQueue(lambda: 0)
    entry = due.add(1_000_000_000, lambda: None)

    due.clear()

    assert entry.callback is None
