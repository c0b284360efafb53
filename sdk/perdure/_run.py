"""`perdure.run`: one durable workflow, in one line, with nothing set up before."""

import uuid
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar, overload

from perdure.client import Client, WorkflowHandle
from perdure.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from perdure.definitions import workflow_definition
from perdure.exceptions import WorkflowAlreadyStartedError
from perdure.worker import Worker
from perdure_history.ids import RunId

ReturnType = TypeVar("ReturnType")


@overload
async def run(
    workflow: Callable[..., Awaitable[ReturnType]],
    *args: Any,
    id: str | None = ...,
    store: str = ...,
    activities: Sequence[Callable[..., Any]] = ...,
) -> ReturnType: ...


@overload
async def run(
    workflow: type,
    *args: Any,
    id: str | None = ...,
    store: str = ...,
    activities: Sequence[Callable[..., Any]] = ...,
) -> Any: ...


async def run(
    workflow: type | Callable[..., Awaitable[Any]],
    *args: Any,
    id: str | None = None,  # noqa: A002  Temporal's name
    store: str = "perdure.db",
    activities: Sequence[Callable[..., Any]] = (),
) -> Any:
    """Run `workflow` to its end and give back what it returns, however often this process dies on the way.

    Calling it again with the same `id` and `store` goes on where the dead process stopped; once the run has
    completed, it gives back the recorded result. Other open runs of the same workflow in the store go on as
    well while this call lasts. `id` None: a new run each time. `store` is an address as for `Client.connect`.
    `activities` need only list what the workflow calls by name.

    Raises WorkflowFailureError when the run failed, WorkflowAlreadyStartedError when the id belongs to another
    workflow, and what `Client.start_workflow` raises.
    """
    workflow_id = id or uuid.uuid4().hex
    async with (
        await Client.connect(store) as client,
        Worker(client, workflows=[workflow], activities=activities),
    ):
        try:
            handle = await client.start_workflow(
                workflow,
                *args,
                id=workflow_id,
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            )
        except WorkflowAlreadyStartedError:
            handle = client.get_workflow_handle_for(workflow, workflow_id)
        await _check_type(client, workflow, handle)
        return await handle.result()


async def _check_type(client: Client, workflow: Any, handle: WorkflowHandle[Any]) -> None:
    """Refuse to give the result of another workflow that has the id."""
    wanted = workflow_definition(workflow).name
    found = await client.store.find_run(
        client.namespace, handle.id, None if handle.result_run_id is None else RunId(handle.result_run_id)
    )
    if found.workflow_type != wanted:
        raise WorkflowAlreadyStartedError(handle.id, found.workflow_type, run_id=found.run_id)
