"""Two namespaces of one store: whatever is done in one, the other neither sees it nor changes by it."""

import asyncio
import itertools

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perdure_history.errors import HistoryError
from perdure_history.records import RunFilter, RunUpdate
from tests.conformance.scene import (
    CLOSING,
    QUEUE,
    Scene,
    member_on,
    signal_request,
    start_request,
    terminate_request,
)
from tests.conformance.stores import STORES, ManualClock

MINE, THEIRS = "mine", "theirs"
IDS = st.sampled_from(["order-1", "order-2"])
REQUESTS = st.sampled_from(["req-1", "req-2", "req-3"])
VERBS = st.sampled_from(
    ["start", "start_owned", "signal", "terminate", "claim", "close", "release", "wrong run"]
)
STEPS = st.lists(st.tuples(st.sampled_from([MINE, THEIRS]), VERBS, IDS, REQUESTS), max_size=25)


class Tenant:
    """One namespace's user and worker. Run ids count within it, so that two stores give the same ones."""

    def __init__(self, scene: Scene, namespace: str) -> None:
        self.scene = scene
        self.namespace = namespace
        self.worker = f"worker-of-{namespace}"
        self._numbers = itertools.count(1)

    async def begin(self) -> None:
        await self.scene.worker(self.worker)

    async def do(self, verb: str, workflow_id: str, request_id: str, strange_run: str | None) -> object:
        """The answer, an error as its kind; without message ids, which are drawn for the whole store."""
        try:
            answer = await self._do(verb, workflow_id, request_id, strange_run)
        except HistoryError as error:
            return type(error).__name__
        return [answer.run_id, answer.created] if verb.startswith("start") else answer

    async def _do(self, verb: str, workflow_id: str, request_id: str, strange_run: str | None):
        store, here = self.scene.store, {"namespace": self.namespace, "request_id": request_id}
        match verb:
            case "start" | "start_owned":
                prefix = "a" if self.namespace == MINE else "b"
                owner = self.worker if verb == "start_owned" else None
                run_id = f"018bcfe5-6800-7000-8000-{prefix}{next(self._numbers):011x}"
                return await store.start_run(start_request(workflow_id, run_id=run_id, owner=owner, **here))
            case "signal":
                return await store.send_message(signal_request(workflow_id, **here))
            case "terminate":
                return await store.terminate_run(terminate_request(workflow_id, **here))
            case "wrong run":
                # Another tenant's run id under the own namespace names no run.
                if strange_run is None:
                    return None
                for request in (signal_request, terminate_request):
                    with pytest.raises(HistoryError):
                        ask = store.send_message if request is signal_request else store.terminate_run
                        await ask(request(workflow_id, run_id=strange_run, **here))
                with pytest.raises(HistoryError):
                    await store.find_run(self.namespace, workflow_id, strange_run)
                return None
            case "claim":
                claims = await self.scene.claim(self.worker, namespace=self.namespace)
                assert all(claim.run.namespace == self.namespace for claim in claims)
                return [
                    (claim.run.run_id, [message.request_id for message in claim.messages]) for claim in claims
                ]
            case _:
                run = await store.find_run(self.namespace, workflow_id)
                head = await store.last_event(run.run_id)
                if verb == "close":
                    update = RunUpdate(status=next(iter(CLOSING)))
                    member = member_on(run.run_id, head, next(iter(CLOSING.values())), update=update)
                else:
                    member = member_on(run.run_id, head, update=RunUpdate(release=True, wake_at=0))
                return await store.commit_turns(self.worker, [member])

    async def world(self) -> object:
        """All that this namespace's users and workers can see."""
        store, where = self.scene.store, RunFilter(namespace=self.namespace)
        runs = (await store.list_runs(where, limit=100)).runs
        assert all(run.namespace == self.namespace for run in runs)
        return msgspec.to_builtins(
            [
                runs,
                await store.count_runs(where),
                [await store.read_history(run.run_id) for run in runs],
                await self.scene.next_wake(namespace=self.namespace, task_queues=[QUEUE]),
                [(one.run_id, one.request_id) for one in await store.read_inbox(self.worker)],
            ]
        )


async def play(kind: str, folder, steps, *, only: str | None) -> tuple[dict[str, list], dict[str, object]]:
    """What each tenant was answered and sees in the end, all acting on one store, or `only` one of them."""
    clock = ManualClock()
    store = await STORES[kind](folder, clock)
    scene = Scene(store, clock)
    tenants = {name: Tenant(scene, name) for name in (MINE, THEIRS)}
    for tenant in tenants.values():
        await tenant.begin()
    answers: dict[str, list] = {MINE: [], THEIRS: []}
    for who, verb, workflow_id, request_id in steps:
        if only is not None and who != only:
            continue
        strange = None
        if verb == "wrong run":
            other = RunFilter(namespace=THEIRS if who == MINE else MINE)
            strange = next((run.run_id for run in (await store.list_runs(other)).runs), None)
        answers[who].append(await tenants[who].do(verb, workflow_id, request_id, strange))
    worlds = {name: await tenant.world() for name, tenant in tenants.items()}
    await store.close()
    return answers, worlds


@pytest.mark.parametrize("kind", list(STORES))
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_a_namespace_is_as_if_there_were_no_other(kind, steps, tmp_path_factory):
    """Same ids, same request ids, same queue: answers and contents are those of a store of one's own."""

    async def compare() -> None:
        folder = tmp_path_factory.mktemp("shared")
        shared_answers, shared_worlds = await play(kind, folder, steps, only=None)
        for name in (MINE, THEIRS):
            folder = tmp_path_factory.mktemp("alone")
            answers, worlds = await play(kind, folder, steps, only=name)
            assert shared_answers[name] == answers[name]
            assert shared_worlds[name] == worlds[name]

    asyncio.run(compare())
