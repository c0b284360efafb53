"""Users' mistakes: said where they can be seen, and costing no more than they must."""

import asyncio
import logging
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

import perdure
from perdure import activity, workflow
from perdure.client import Client, WorkflowFailureError
from perdure.common import RetryPolicy
from perdure.exceptions import ActivityError, ApplicationError, WorkflowAlreadyStartedError
from perdure.worker import Worker

SOON = 20
made: list[int] = []


@activity.defn
async def returns_what_cannot_be_kept() -> object:
    made.append(1)
    return object()


@activity.defn(retry_policy=RetryPolicy(maximum_attempts=1))
async def breaks() -> None:
    raise LookupError("no such drawer")


@workflow.defn
async def keeps() -> str:
    try:
        await returns_what_cannot_be_kept()
    except ActivityError as error:
        return str(error.cause)
    return "?"


@workflow.defn
async def tries() -> None:
    await breaks()


@workflow.defn
class Box:
    def __init__(self) -> None:
        self.items: list[str] = []

    @workflow.run
    async def run(self) -> list[str]:
        await workflow.wait_condition(lambda: len(self.items) == 2)
        return self.items

    @workflow.signal
    def put(self, item: str) -> None:
        self.items.append(item)


@workflow.defn
async def other() -> str:
    return "other"


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with await Client.connect("memory://") as client:
        yield client


async def test_a_result_that_cannot_be_kept_does_not_repeat_the_work(client: Client):
    made.clear()
    async with Worker(client, workflows=[keeps]):
        result = await asyncio.wait_for(client.execute_workflow(keeps, id="keeps"), SOON)

    assert "has run, and what it returned cannot be recorded" in result
    assert made == [1]


async def test_a_failed_attempt_is_logged_with_its_place(client: Client, caplog: pytest.LogCaptureFixture):
    async with Worker(client, workflows=[tries]):
        with pytest.raises(WorkflowFailureError) as caught:
            await asyncio.wait_for(client.execute_workflow(tries, id="tries"), SOON)

    [record] = [one for one in caplog.records if one.name == "perdure.worker"]
    assert record.levelno == logging.WARNING
    assert "breaks" in record.getMessage()
    assert "test_mistakes_are_told.py" in record.getMessage()
    cause = caught.value.cause.__cause__
    assert isinstance(cause, ApplicationError)
    assert any("test_mistakes_are_told.py" in note for note in cause.__notes__)


@pytest.mark.parametrize("arguments", [(), ("a", "b")])
async def test_a_signal_with_the_wrong_number_of_arguments_is_dropped(
    client: Client, caplog: pytest.LogCaptureFixture, arguments: tuple[str, ...]
):
    async with Worker(client, workflows=[Box]):
        handle = await client.start_workflow(Box.run, id="box")
        await handle.signal("put", "first")
        await handle.signal("put", *arguments)
        await handle.signal("put", "second")

        assert await asyncio.wait_for(handle.result(), SOON) == ["first", "second"]
    assert any("'put' is dropped" in record.getMessage() for record in caplog.records)


async def test_a_worker_is_not_entered_twice(client: Client):
    worker = Worker(client, workflows=[other])
    async with worker:
        assert await client.execute_workflow(other, id="a") == "other"

    with pytest.raises(RuntimeError, match="make another Worker"):
        async with worker:
            pass


@pytest.mark.parametrize("open_run", [True, False])
async def test_run_does_not_give_the_result_of_another_workflow(tmp_path: Path, open_run: bool):
    store = str(tmp_path / "runs.db")
    async with await Client.connect(store) as client:
        await client.start_workflow(Box.run, id="mine", task_queue="nobody")
        if not open_run:
            await client.get_workflow_handle("mine").terminate()

    with pytest.raises(WorkflowAlreadyStartedError, match="mine"):
        await asyncio.wait_for(perdure.run(other, id="mine", store=store), SOON)


spinning = {"now": True}


@workflow.defn
class Spins:
    @workflow.run
    async def run(self) -> str:
        while spinning["now"]:
            pass
        return "stopped"


@workflow.defn
async def spins_too() -> str:
    while spinning["now"]:
        pass
    return "stopped"


@pytest.mark.parametrize("kind", [Spins.run, spins_too])
async def test_an_endless_loop_fails_its_turn_and_holds_nobody_up_for_long(client: Client, kind: object):
    spinning["now"] = True
    async with Worker(client, workflows=[Spins, spins_too, other], turn_timeout=timedelta(milliseconds=100)):
        handle = await client.start_workflow(kind, id="spins")
        assert await asyncio.wait_for(client.execute_workflow(other, id="other"), SOON) == "other"
        async with asyncio.timeout(SOON):
            while (problem := (await handle.describe()).problem) is None:
                await asyncio.sleep(0.01)
        spinning["now"] = False
        await handle.signal("look")

        assert await asyncio.wait_for(handle.result(), SOON) == "stopped"
    assert problem.kind == "TurnTimeoutError"
    assert "test_mistakes_are_told.py" in problem.traceback
