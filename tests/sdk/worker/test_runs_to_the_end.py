"""What workflows may do, run by a real worker: activities, timers, signals, conditions, results."""

import asyncio
import threading
from dataclasses import dataclass
from datetime import timedelta

import pytest

from perdure import activity, workflow
from perdure.client import Client, WorkflowFailureError
from perdure.common import RetryPolicy
from perdure.exceptions import ActivityError, ApplicationError
from tests.sdk.worker.conftest import MakeWorker

SOON = 20


@dataclass
class Order:
    number: int
    items: list[str]


@activity.defn
async def price(order: Order) -> int:
    return 10 * len(order.items)


@activity.defn
def pack(order: Order) -> str:
    assert threading.current_thread().name.startswith("perdure-activity")
    return "+".join(order.items)


@workflow.defn
async def order_flow(order: Order) -> tuple[int, str]:
    amount = await price(order)
    await asyncio.sleep(0.01)
    parcel = await workflow.execute_activity(pack, order)
    return amount, parcel


@workflow.defn
class Approval:
    @workflow.init
    def __init__(self, wanted: int) -> None:
        self.votes: list[str] = []
        self.wanted = wanted

    @workflow.run
    async def run(self, wanted: int) -> list[str]:
        await workflow.wait_condition(lambda: len(self.votes) >= self.wanted)
        return self.votes

    @workflow.signal
    async def vote(self, name: str) -> None:
        self.votes.append(name)

    @workflow.query
    def count(self) -> int:
        return len(self.votes)


@workflow.defn
async def fan_out(width: int) -> list[int]:
    return list(await asyncio.gather(*(double(n) for n in range(width))))


@activity.defn
async def double(n: int) -> int:
    await asyncio.sleep(0)
    return 2 * n


@workflow.defn
async def waits_a_little() -> bool:
    try:
        await workflow.wait_condition(lambda: False, timeout=timedelta(milliseconds=20))
    except TimeoutError:
        return True
    return False


@workflow.defn
async def fails_politely() -> None:
    raise ApplicationError("no stock", {"item": "tea"}, type="NoStock")


@workflow.defn
async def fails_rudely() -> None:
    raise KeyError("tea")


async def test_a_function_workflow_calls_async_and_sync_activities_and_sleeps(
    client: Client, worker: MakeWorker
):
    async with worker(workflows=[order_flow]):
        result = await asyncio.wait_for(
            client.execute_workflow(order_flow, Order(1, ["tea", "pot"]), id="order-1"), SOON
        )

    assert result == (20, "tea+pot")


async def test_signals_are_taken_in_order_and_queries_see_what_is_recorded(
    client: Client, worker: MakeWorker
):
    async with worker(workflows=[Approval]):
        handle = await client.start_workflow(Approval.run, 3, id="vote")
        for name in ("ann", "bob"):
            await handle.signal(Approval.vote, name)
        async with asyncio.timeout(SOON):
            while await handle.query(Approval.count) < 2:
                await asyncio.sleep(0.01)
        await handle.signal("vote", "cem")

        assert await asyncio.wait_for(handle.result(), SOON) == ["ann", "bob", "cem"]
        assert await handle.query("count") == 3


async def test_many_activities_run_at_once_and_come_back_in_place(client: Client, worker: MakeWorker):
    async with worker(workflows=[fan_out], max_concurrent_activities=7):
        result = await asyncio.wait_for(client.execute_workflow(fan_out, 50, id="wide"), SOON)

    assert result == [2 * n for n in range(50)]


async def test_a_condition_gives_up_after_its_timeout(client: Client, worker: MakeWorker):
    async with worker(workflows=[waits_a_little]):
        assert await asyncio.wait_for(client.execute_workflow(waits_a_little, id="wait"), SOON)


async def test_an_application_error_fails_the_run_with_type_and_details(client: Client, worker: MakeWorker):
    async with worker(workflows=[fails_politely]):
        with pytest.raises(WorkflowFailureError) as caught:
            await asyncio.wait_for(client.execute_workflow(fails_politely, id="fails"), SOON)

    cause = caught.value.cause
    assert isinstance(cause, ApplicationError)
    assert (cause.message, cause.type, list(cause.details)) == ("no stock", "NoStock", [{"item": "tea"}])


async def test_any_exception_fails_the_run_of_a_function(client: Client, worker: MakeWorker):
    async with worker(workflows=[fails_rudely]):
        with pytest.raises(WorkflowFailureError) as caught:
            await asyncio.wait_for(client.execute_workflow(fails_rudely, id="fails"), SOON)

    cause = caught.value.cause
    assert isinstance(cause, ApplicationError)
    assert cause.type == "KeyError"


attempts: dict[str, list[int]] = {}


@activity.defn(retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=1), maximum_attempts=3))
async def fails_twice(key: str) -> int:
    made = attempts.setdefault(key, [])
    made.append(activity.info().attempt)
    if len(made) < 3:
        raise ValueError(f"try {len(made)}")
    return len(made)


@activity.defn(retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=1), maximum_attempts=2))
async def always_fails() -> None:
    raise ValueError("never")


@workflow.defn
async def retried(key: str) -> int:
    return await fails_twice(key)


@workflow.defn
async def gives_up() -> str:
    try:
        await always_fails()
    except ActivityError as error:
        assert isinstance(error.cause, ApplicationError)
        return f"{error.activity_type} {error.cause.type} {error.retry_state}"
    return "?"


async def test_failed_attempts_are_repeated_and_each_is_recorded(client: Client, worker: MakeWorker):
    key = f"{id(client)}"
    async with worker(workflows=[retried]):
        handle = await client.start_workflow(retried, key, id="retried")
        result = await asyncio.wait_for(handle.result(), SOON)
        types = [entry.event_type async for entry in handle.fetch_history_events()]

    assert result == 3
    assert attempts[key] == [1, 2, 3]
    assert types == [
        "WorkflowExecutionStarted",
        "ActivityTaskScheduled",
        "ActivityTaskAttemptFailed",
        "ActivityTaskAttemptFailed",
        "ActivityTaskCompleted",
        "WorkflowExecutionCompleted",
    ]


async def test_the_last_failure_reaches_the_workflow(client: Client, worker: MakeWorker):
    async with worker(workflows=[gives_up]):
        result = await asyncio.wait_for(client.execute_workflow(gives_up, id="gives-up"), SOON)

    assert result.startswith("always_fails ValueError")
