"""What a client refuses, before anything is written, and what it says."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from perdure import exceptions, workflow
from perdure.client import (
    AddressError,
    Client,
    WorkflowClosedError,
    WorkflowNotFoundError,
    WorkflowQueryFailedError,
)
from perdure.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from perdure.service import RPCStatusCode
from perdure.worker import Worker
from perdure_history.errors import InvalidIdError, StoreClosedError, StoreUnavailableError


@workflow.defn
async def greet(name: str, times: int = 1) -> str:
    return name * times


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with await Client.connect("memory://") as client:
        yield client


@pytest.mark.parametrize("workflow_id", ["", " x", "x\0y", "x" * 513, "\ud800"])
async def test_an_id_that_some_store_cannot_hold_is_refused(client: Client, workflow_id: str):
    with pytest.raises(InvalidIdError):
        await client.start_workflow(greet, "ann", id=workflow_id)

    assert await client.count_workflows() == 0


@pytest.mark.parametrize("arguments", [(), ("ann", 1, 2)])
async def test_a_start_with_too_few_or_too_many_arguments_is_refused(
    client: Client, arguments: tuple[object, ...]
):
    with pytest.raises(exceptions.ArgumentError, match="greet"):
        await client.start_workflow(greet, *arguments, id="greet")

    assert await client.count_workflows() == 0


async def test_arguments_may_stand_in_args_but_not_in_both_places(client: Client):
    await client.start_workflow(greet, args=["ann", 2], id="greet")

    with pytest.raises(exceptions.ArgumentError):
        await client.start_workflow(greet, "ann", args=[2], id="again")


async def test_a_value_that_cannot_be_kept_names_its_place(client: Client):
    with pytest.raises(exceptions.EncodingError) as caught:
        await client.start_workflow("greet", {"deep": [object()]}, id="greet")

    assert "deep" in str(caught.value)
    assert await client.count_workflows() == 0


async def test_a_second_start_says_which_run_is_in_its_way(client: Client):
    first = await client.start_workflow(greet, "ann", id="greet")

    with pytest.raises(exceptions.WorkflowAlreadyStartedError) as caught:
        await client.start_workflow(greet, "bob", id="greet")

    assert caught.value.run_id == first.first_execution_run_id
    again = await client.start_workflow(
        greet, "bob", id="greet", id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING
    )
    assert again.result_run_id == first.result_run_id


async def test_a_closed_id_is_not_used_again_when_the_policy_says_so(client: Client):
    async with Worker(client, workflows=[greet]):
        assert await client.execute_workflow(greet, "ann", id="greet") == "ann"

    with pytest.raises(exceptions.WorkflowAlreadyStartedError):
        await client.start_workflow(
            greet, "ann", id="greet", id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE
        )


async def test_the_same_request_gives_the_same_run(client: Client):
    first = await client.start_workflow(greet, "ann", id="greet", request_id="r1")
    again = await client.start_workflow(greet, "ann", id="greet", request_id="r1")

    assert again.result_run_id == first.result_run_id
    assert await client.count_workflows() == 1


async def test_an_unknown_run_is_not_found(client: Client):
    handle = client.get_workflow_handle("nobody")

    for ask in (handle.result(), handle.describe(), handle.signal("x"), handle.cancel(), handle.terminate()):
        with pytest.raises(WorkflowNotFoundError) as caught:
            await ask
        assert caught.value.status is RPCStatusCode.NOT_FOUND
        assert "nobody" in str(caught.value)


async def test_a_signal_to_a_closed_run_says_how_it_ended(client: Client):
    async with Worker(client, workflows=[greet]):
        handle = await client.start_workflow(greet, "ann", id="greet")
        await handle.result()

    with pytest.raises(WorkflowClosedError, match="already completed"):
        await handle.signal("x")


async def test_a_query_without_the_definition_says_what_is_needed(client: Client):
    handle = await client.start_workflow("unknown_here", id="greet")

    with pytest.raises(WorkflowQueryFailedError, match="definition of workflow 'unknown_here'"):
        await handle.query("status")


@pytest.mark.parametrize(
    "address", ["", "redis://x", "sqlite://", "sqlite:///", ":memory:", "sqlite:///a?vfs=x"]
)
async def test_an_address_that_names_no_store_is_refused(address: str):
    with pytest.raises(AddressError):
        await Client.connect(address)


async def test_a_password_is_never_shown():
    with pytest.raises(AddressError) as caught:
        await Client.connect("oracle://bob:secret@host/db")

    assert "secret" not in str(caught.value)
    assert "bob:***@host" in str(caught.value)


async def test_a_memory_store_is_shared_by_name():
    async with (
        await Client.connect("memory://shared") as one,
        await Client.connect("memory://shared") as other,
    ):
        await one.start_workflow(greet, "ann", id="greet")

        assert [run.id async for run in other.list_workflows()] == ["greet"]


async def test_a_file_is_made_but_not_its_folder(tmp_path: Path):
    with pytest.raises(StoreUnavailableError, match="no-such-folder"):
        await Client.connect(str(tmp_path / "no-such-folder" / "runs.db"))


async def test_who_awaits_a_result_while_the_client_closes_is_told():
    client = await Client.connect("memory://")
    handle = await client.start_workflow(greet, "ann", id="greet")
    waiting = asyncio.ensure_future(handle.result())
    await asyncio.sleep(0.01)

    await client.close()

    with pytest.raises(StoreClosedError):
        await asyncio.wait_for(waiting, 5)
