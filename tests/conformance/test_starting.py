"""What a start promises, on every store."""

import asyncio

import pytest

from perdure_history.errors import RunAlreadyExistsError
from perdure_history.records import Change, ChangeKind, IdConflictPolicy, IdReusePolicy, RunStatus, RunUpdate
from tests.conformance.scene import CLOSING, QUEUE, new_run_id, signal_request, start_request


async def test_a_start_inserts_the_run_and_its_first_event(scene):
    request = start_request(memo='{"a":1}', search_attributes="{}")

    outcome = await scene.store.start_run(request)

    assert (outcome.run_id, outcome.created, outcome.owner) == (request.run_id, True, None)
    assert await scene.store.read_history(request.run_id) == [request.first_event]
    run = await scene.run(request.run_id)
    assert (run.status, run.nth, run.epoch, run.wake_at) == (RunStatus.RUNNING, 1, 0, 0)
    assert (run.memo, run.search_attributes) == ('{"a":1}', "{}")
    assert run.started_at == request.first_event.recorded_at
    assert scene.heard == [Change(ChangeKind.STARTED, QUEUE, request.run_id)]


async def test_a_start_for_a_live_worker_is_its_own_at_once(scene):
    await scene.worker("w1")
    scene.heard.clear()

    outcome = await scene.start(owner="w1")

    run = await scene.run(outcome.run_id)
    assert (outcome.owner, run.owner, run.epoch, run.wake_at) == ("w1", "w1", 1, None)
    assert scene.heard == [Change(ChangeKind.ASSIGNED, "w1", outcome.run_id)]


@pytest.mark.parametrize("dead", [True, False])
async def test_a_start_for_a_worker_that_is_not_live_is_left_to_any(scene, dead):
    if dead:
        await scene.worker("w1")
        await scene.store.bury_worker("w1", beat=0)

    outcome = await scene.start(owner="w1")

    run = await scene.run(outcome.run_id)
    assert (outcome.owner, run.owner, run.wake_at) == (None, None, 0)


async def test_asking_again_with_the_same_request_id_gives_the_same_run(scene):
    first = await scene.start(request_id="once")
    scene.heard.clear()

    again = await scene.start(request_id="once")

    assert (again.run_id, again.created) == (first.run_id, False)
    assert scene.heard == []


async def test_a_granted_request_is_answered_alike_after_its_run_closed_and_another_began(scene):
    await scene.worker("w1")
    first = await scene.start_owned(request_id="once")
    await scene.close(first)
    await scene.start(request_id="twice")

    again = await scene.start(request_id="once", id_reuse_policy=IdReusePolicy.REJECT_DUPLICATE)

    assert (again.run_id, again.created) == (first, False)


async def test_a_run_id_is_never_given_to_a_second_run(scene):
    run_id = new_run_id()
    await scene.start("order-1", run_id=run_id)

    with pytest.raises(RunAlreadyExistsError):
        await scene.start("order-2", run_id=run_id, request_id="other")

    assert len(await scene.store.read_history(run_id)) == 1


async def test_an_open_run_refuses_a_second_start_under_its_id(scene):
    first = await scene.start()

    with pytest.raises(RunAlreadyExistsError) as caught:
        await scene.start()

    assert (caught.value.run_id, caught.value.status) == (first.run_id, "running")


async def test_an_open_run_can_be_used_instead_of_a_new_one(scene):
    await scene.worker("w1")
    first = await scene.start_owned()

    outcome = await scene.start(id_conflict_policy=IdConflictPolicy.USE_EXISTING)

    assert (outcome.run_id, outcome.created, outcome.owner) == (first, False, "w1")


@pytest.mark.parametrize(
    "policy",
    [
        {"id_conflict_policy": IdConflictPolicy.TERMINATE_EXISTING},
        {"id_reuse_policy": IdReusePolicy.TERMINATE_IF_RUNNING},
    ],
)
async def test_an_open_run_can_be_replaced_in_the_same_transaction(scene, policy):
    first = (await scene.start()).run_id
    await scene.store.send_message(signal_request())
    scene.heard.clear()

    second = await scene.start(**policy, request_id="replace")

    assert second.created
    assert (await scene.run(first)).status is RunStatus.TERMINATED
    assert await scene.types(first) == [
        "WorkflowExecutionStarted",
        "WorkflowExecutionSignaled",
        "WorkflowExecutionTerminated",
    ]
    assert (await scene.run(second.run_id)).nth == 2
    assert {change.kind for change in scene.heard} == {ChangeKind.CLOSED, ChangeKind.STARTED}


ALLOWED_AFTER = {
    (IdReusePolicy.ALLOW_DUPLICATE, RunStatus.COMPLETED): True,
    (IdReusePolicy.ALLOW_DUPLICATE, RunStatus.FAILED): True,
    (IdReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY, RunStatus.COMPLETED): False,
    (IdReusePolicy.ALLOW_DUPLICATE_FAILED_ONLY, RunStatus.FAILED): True,
    (IdReusePolicy.REJECT_DUPLICATE, RunStatus.COMPLETED): False,
    (IdReusePolicy.REJECT_DUPLICATE, RunStatus.FAILED): False,
    (IdReusePolicy.TERMINATE_IF_RUNNING, RunStatus.COMPLETED): True,
    (IdReusePolicy.TERMINATE_IF_RUNNING, RunStatus.FAILED): True,
}


@pytest.mark.parametrize(("policy", "status"), list(ALLOWED_AFTER))
async def test_a_closed_run_is_judged_by_the_reuse_policy(scene, policy, status):
    await scene.worker("w1")
    await scene.close(await scene.start_owned(), status=status)

    if ALLOWED_AFTER[policy, status]:
        assert (await scene.start(id_reuse_policy=policy)).created
    else:
        with pytest.raises(RunAlreadyExistsError) as caught:
            await scene.start(id_reuse_policy=policy)
        assert caught.value.status == status


@pytest.mark.parametrize("reuse", list(IdReusePolicy))
@pytest.mark.parametrize("conflict", list(IdConflictPolicy))
async def test_fifty_starters_of_one_id_never_have_two_open_runs(scene, reuse, conflict):
    """C6: starters race with each other and with runs that end at once, under every policy."""
    await scene.worker("w1")

    async def starter(number):
        try:
            outcome = await scene.start(
                id_reuse_policy=reuse, id_conflict_policy=conflict, owner="w1" if number % 2 else None
            )
        except RunAlreadyExistsError:
            return None
        if outcome.created and number % 5 == 0:
            await asyncio.sleep(0)
            closing = await scene.member(
                outcome.run_id, CLOSING[RunStatus.FAILED], update=RunUpdate(status=RunStatus.FAILED)
            )
            await scene.commit("w1", closing)
        return outcome

    outcomes = await asyncio.gather(*(starter(number) for number in range(50)))

    created = [outcome.run_id for outcome in outcomes if outcome is not None and outcome.created]
    runs = [await scene.run(run_id) for run_id in created]
    assert sorted(run.nth for run in runs) == list(range(1, len(runs) + 1))
    assert sum(run.status is RunStatus.RUNNING for run in runs) <= 1
    if reuse is IdReusePolicy.REJECT_DUPLICATE and conflict is not IdConflictPolicy.TERMINATE_EXISTING:
        assert len(created) == 1
    if conflict is IdConflictPolicy.USE_EXISTING and reuse is IdReusePolicy.ALLOW_DUPLICATE:
        assert None not in outcomes
    if reuse is IdReusePolicy.TERMINATE_IF_RUNNING:
        assert len(created) == 50
