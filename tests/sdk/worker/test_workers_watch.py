"""Workers and clients watch over each other, and go on whatever one look or one of them comes to."""

import asyncio
import errno
from datetime import timedelta
from pathlib import Path

from perdure import _local, workflow
from perdure._local import LocalTraffic, traffic_of
from perdure.client import Client, _waiting
from perdure.client._waiting import ClosingWatch
from perdure.worker import Worker
from perdure.worker._core import WorkerCore
from perdure.worker._held_run import HeldRun
from perdure.worker._holdings import Holdings
from perdure.worker._identity import WorkerIdentity
from perdure.worker._lease import Lease
from perdure.worker._missed import MissedRuns
from perdure_history.errors import ForeignDatabaseError
from perdure_history.records import Change, ChangeKind, Claim, EventRow, RunFilter, WorkerRecord
from tests.sdk.worker.conftest import MakeWorker

SHORT_LEASE = timedelta(seconds=0.3)
LIMIT = 5.0
"""Seconds that a test waits at most for what must come."""


@workflow.defn
async def answers() -> int:
    return 42


@workflow.defn
async def waits() -> None:
    await workflow.wait_condition(lambda: False)


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Observer:
    """Whose lease the watch runs for."""

    incarnation = "observer"

    def worker_died(self) -> None:
        raise AssertionError("nobody buries the observer")

    def lease_renewed(self) -> None:
        pass

    def runs_freed(self) -> None:
        pass


def lease_of(client: Client, clock: Clock, *, seconds: float) -> Lease:
    return Lease(client.store, Observer(), lease_seconds=seconds, probe_seconds=1, boot_clock=clock)


async def register(client: Client, name: str, *, lease_us: int = 15_000_000) -> None:
    await client.store.register_worker(
        WorkerRecord(incarnation=name, identity=name, task_queues="q", started_at=0, lease_us=lease_us)
    )


async def alive(client: Client) -> set[str]:
    return {one.incarnation for one in await client.store.list_workers()}


async def test_a_worker_is_judged_by_its_own_lease_and_not_by_its_observers(client: Client):
    await register(client, "long", lease_us=15_000_000)
    await register(client, "short", lease_us=1_000_000)
    clock = Clock()
    lease = lease_of(client, clock, seconds=3)
    await lease.bury_the_dead()

    clock.seconds = 4
    await lease.bury_the_dead()
    after_observers_lease = await alive(client)
    clock.seconds = 15
    await lease.bury_the_dead()

    assert after_observers_lease == {"long"}
    assert await alive(client) == set()


async def test_a_worker_writes_its_lease_into_its_row(client: Client, worker: MakeWorker):
    async with worker(workflows=[answers], lease=timedelta(seconds=2.5)):
        (record,) = await client.store.list_workers()

    assert record.lease_us == 2_500_000


async def test_a_heartbeat_that_fails_in_whatever_way_is_followed_by_another(client: Client, monkeypatch):
    failures = [ForeignDatabaseError("x", "malformed"), OSError(errno.EMFILE, "too many open files")]
    renewed = asyncio.Event()
    beat = client.store.beat

    async def failing(incarnation: str) -> int:
        if failures:
            raise failures.pop()
        renewed.set()
        return await beat(incarnation)

    monkeypatch.setattr(client.store, "beat", failing)
    async with Worker(client, workflows=[answers], lease=SHORT_LEASE):
        await asyncio.wait_for(renewed.wait(), LIMIT)

    assert not failures


async def test_a_worker_declared_dead_begins_anew_although_its_first_try_fails(
    client: Client, worker: MakeWorker, monkeypatch
):
    monkeypatch.setattr("perdure.worker._core._REGISTER_AGAIN_SECONDS", 0.01)
    failures = [OSError(errno.EMFILE, "too many open files")]
    hold_lock = client.store.hold_lock
    async with worker(workflows=[answers], lease=SHORT_LEASE):

        async def failing(incarnation: str):
            if failures:
                raise failures.pop()
            return await hold_lock(incarnation)

        monkeypatch.setattr(client.store, "hold_lock", failing)
        (record,) = await client.store.list_workers()
        await client.store.bury_worker(record.incarnation, beat=record.beat)
        result = await asyncio.wait_for(client.execute_workflow(answers, id="later"), LIMIT)

    assert result == 42
    assert not failures


async def test_a_worker_that_begins_anew_gives_its_former_lock_up(client: Client, monkeypatch):
    events: list[tuple[str, str]] = []
    again = asyncio.Event()
    hold_lock, drop_lock = client.store.hold_lock, client.store.drop_lock

    async def held(incarnation: str):
        events.append(("hold", incarnation))
        if len(events) > 1:
            again.set()
        return await hold_lock(incarnation)

    async def dropped(incarnation: str) -> None:
        events.append(("drop", incarnation))
        await drop_lock(incarnation)

    monkeypatch.setattr(client.store, "hold_lock", held)
    monkeypatch.setattr(client.store, "drop_lock", dropped)
    async with Worker(client, workflows=[answers], lease=SHORT_LEASE):
        (record,) = await client.store.list_workers()
        await client.store.bury_worker(record.incarnation, beat=record.beat)
        await asyncio.wait_for(again.wait(), LIMIT)

    assert events[:2] == [("hold", record.incarnation), ("drop", record.incarnation)]


async def test_a_lock_that_was_given_up_leaves_no_file_behind(client: Client):
    lock = await client.store.hold_lock("former")

    await client.store.drop_lock("former")
    await client.store.drop_lock("former")

    assert not lock.path or not Path(lock.path).exists()


async def test_commits_of_others_cause_one_comparison_at_once_and_then_wait(client: Client, monkeypatch):
    monkeypatch.setattr("perdure.worker._core._COMPARE_SECONDS", 1000)
    looks = 0
    looked = asyncio.Event()
    list_runs = client.store.list_runs

    async def counted(where: RunFilter, **kwargs):
        nonlocal looks
        looks += 1
        looked.set()
        return await list_runs(where, **kwargs)

    monkeypatch.setattr(client.store, "list_runs", counted)
    async with Worker(client, workflows=[waits]):
        (core,) = traffic_of(client.store).workers
        assert isinstance(core, WorkerCore)
        core.others_committed()
        await asyncio.wait_for(looked.wait(), LIMIT)
        for _ in range(50):
            core.others_committed()
            await asyncio.sleep(0)

    assert looks == 1


async def held_runs(client: Client, *ids: str) -> tuple[Holdings, dict[str, HeldRun]]:
    """Runs that the worker `mine` has claimed, and holds."""
    await register(client, "mine")
    for run in ids:
        await client.start_workflow(waits, id=run)
    claims = await client.store.claim_runs(
        "mine", task_queues=["default"], workflow_types=None, namespace=client.namespace, limit=100
    )
    holdings = Holdings(max_cached=10, max_held=10)
    by_id: dict[str, HeldRun] = {}
    for claim in claims:
        run = HeldRun(claim.run.run_id, claim.run.workflow_id, None)  # type: ignore[arg-type]
        by_id[run.workflow_id] = run
        holdings.add(run)
    assert len(by_id) == len(ids)
    return holdings, by_id


async def test_what_the_store_gave_and_took_unheard_is_found_though_the_counts_agree(client: Client):
    holdings, runs = await held_runs(client, "stays", "ended", "loads", "unheard")
    holdings.discard(runs["unheard"])
    runs["loads"].loading = True
    for ended in ("ended", "loads"):
        await client.get_workflow_handle(ended).terminate()
    taken: list[Claim] = []
    lost: list[HeldRun] = []
    me = WorkerIdentity("me")
    me.renew("mine")
    missed = MissedRuns(
        client.store, me, holdings, namespace=client.namespace, take=taken.append, lost=lost.append
    )

    found = await missed.look()

    assert found
    assert [claim.run.workflow_id for claim in taken] == ["unheard"]
    assert lost == [runs["ended"]]


async def test_a_look_that_outlived_its_incarnation_takes_and_reports_nothing(client: Client, monkeypatch):
    holdings, runs = await held_runs(client, "one", "two")
    holdings.discard(runs["two"])
    await client.get_workflow_handle("one").terminate()
    taken: list[Claim] = []
    lost: list[HeldRun] = []
    me = WorkerIdentity("me")
    me.renew("mine")
    list_runs = client.store.list_runs

    async def listed(*args, **kwargs):
        page = await list_runs(*args, **kwargs)
        me.renew("next")
        return page

    monkeypatch.setattr(client.store, "list_runs", listed)
    missed = MissedRuns(
        client.store, me, holdings, namespace=client.namespace, take=taken.append, lost=lost.append
    )

    assert not await missed.look()
    assert taken == lost == []


CLOSING = EventRow(
    seq=2, turn=1, type="WorkflowExecutionCompleted", recorded_at=0, actor="", attributes="{}", hash=b""
)


async def test_one_who_waits_and_fails_to_listen_keeps_no_other_from_hearing(caplog):
    traffic = LocalTraffic()
    told: list[str] = []

    def broken(run_id: str, row: EventRow) -> None:
        raise RuntimeError("its loop is closed")

    traffic.on_close("r", broken)
    traffic.on_close("r", lambda run_id, row: told.append(run_id))

    traffic.closed("r", CLOSING)

    assert told == ["r"]
    assert "its loop is closed" in caplog.text


def test_starts_that_no_worker_takes_are_forgotten(monkeypatch):
    monkeypatch.setattr(_local, "KEPT_STARTS", 3)
    clock = Clock()
    traffic = LocalTraffic(clock)

    class Start:
        def __init__(self, run_id: str) -> None:
            self.run_id = run_id

    for number in range(5):
        traffic.expect_start(Start(f"r{number}"))  # type: ignore[arg-type]
    by_number = [traffic.is_under_way(f"r{number}") for number in range(5)]
    clock.seconds = _local.KEPT_SECONDS + 1
    traffic.expect_start(Start("late"))  # type: ignore[arg-type]

    assert by_number == [False, False, True, True, True]
    assert not traffic.is_under_way("r4")
    assert traffic.take_start("late") is not None


async def test_commits_of_others_cause_no_more_looks_than_one_in_a_pause(client: Client, monkeypatch):
    monkeypatch.setattr(_waiting, "PAUSE_SECONDS", 1000)
    watch = ClosingWatch(client.store, client.namespace)
    handle = await client.start_workflow(waits, id="w")
    asked = asyncio.Event()
    looks = 0
    last_event = client.store.last_event

    async def counted(run_id):
        nonlocal looks
        looks += 1
        asked.set()
        return await last_event(run_id)

    monkeypatch.setattr(client.store, "last_event", counted)
    waiter = asyncio.ensure_future(watch.closing(handle.result_run_id))  # type: ignore[arg-type]
    await asyncio.wait_for(asked.wait(), LIMIT)
    before = looks
    asked.clear()
    watch._hear((Change(ChangeKind.FOREIGN),))
    await asyncio.wait_for(asked.wait(), LIMIT)
    for _ in range(50):
        watch._hear((Change(ChangeKind.FOREIGN),))
        await asyncio.sleep(0)
    waiter.cancel()
    await asyncio.gather(waiter, return_exceptions=True)
    await watch.close()

    assert looks - before == 1
