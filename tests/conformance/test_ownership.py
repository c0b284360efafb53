"""What workers are promised, on every store: leases, claims, releases and death."""

import asyncio

import pytest

from perdure_history.errors import WorkerDeadError
from perdure_history.records import Change, ChangeKind, RunUpdate, Verdict, WorkerRecord
from tests.conformance.scene import NAMESPACE, QUEUE, scheduled, signal_request, terminate_request

SECOND = 1_000_000


async def test_a_claim_takes_a_due_run_once(scene):
    await scene.worker("w1")
    await scene.worker("w2")
    run = (await scene.start()).run_id

    [claim] = await scene.claim("w1")
    others = await scene.claim("w2")

    assert (claim.run.run_id, claim.run.owner, claim.run.epoch) == (run, "w1", 1)
    assert (claim.run.wake_at, claim.run.claims, claim.messages) == (None, 0, ())
    assert claim.run == await scene.run(run)
    assert others == []


async def test_workers_that_race_share_the_runs_without_overlap(scene):
    workers = [await scene.worker(f"w{number}") for number in range(5)]
    runs = [(await scene.start(f"order-{number}")).run_id for number in range(40)]

    answers = await asyncio.gather(*(scene.claim(worker, limit=5) for worker in workers * 3))

    claimed = [claim.run.run_id for claims in answers for claim in claims]
    assert sorted(claimed) == sorted(runs)


async def test_claims_come_most_overdue_first_and_at_most_the_limit(scene):
    await scene.worker("w1")
    runs = [await scene.start_owned(f"order-{number}") for number in range(3)]
    for run, delay in zip(runs, (30, 10, 20), strict=True):
        await scene.release(run, wake_at=scene.clock() + delay * SECOND)
    scene.clock.advance(60 * SECOND)
    fresh = (await scene.start("order-9")).run_id

    first, second = await scene.claim(limit=3), await scene.claim(limit=3)

    assert [claim.run.run_id for claim in first] == [fresh, runs[1], runs[2]]
    assert [claim.run.run_id for claim in second] == [runs[0]]


async def test_a_run_is_claimed_when_it_is_due_and_not_before(scene):
    await scene.worker("w1")
    run = await scene.start_owned()
    await scene.release(run, wake_at=scene.clock() + 5 * SECOND)
    scene.heard.clear()

    early = await scene.claim()
    scene.clock.advance(5 * SECOND - 1)
    almost = await scene.claim()
    scene.clock.advance(1)
    due = await scene.claim()

    assert (early, almost) == ([], [])
    assert [(claim.run.run_id, claim.run.epoch) for claim in due] == [(run, 2)]


async def test_a_run_that_waits_for_a_message_only_is_never_due(scene):
    await scene.worker("w1")
    run = await scene.start_owned()
    await scene.release(run)
    scene.clock.advance(10**15)

    assert await scene.claim() == []
    assert await scene.next_wake() is None
    assert (await scene.run(run)).wake_at is None


async def test_a_claim_looks_only_at_its_queues_types_and_namespace(scene):
    await scene.worker("w1")
    mine = (await scene.start("a", workflow_type="mine")).run_id
    await scene.start("b", workflow_type="other")
    await scene.start("c", workflow_type="mine", task_queue="elsewhere")
    await scene.start("d", workflow_type="mine", namespace="tenant-2")

    claims = await scene.claim(workflow_types=["mine"])

    assert [claim.run.run_id for claim in claims] == [mine]
    assert await scene.claim(workflow_types=[]) == []
    assert await scene.claim(task_queues=[]) == []
    assert len(await scene.claim(task_queues=[QUEUE, "elsewhere"])) == 2
    assert len(await scene.claim(namespace="tenant-2")) == 1


async def test_the_next_wake_is_the_earliest_of_what_could_be_claimed(scene):
    await scene.worker("w1")
    for number, delay in enumerate((30, 10)):
        run = await scene.start_owned(f"order-{number}", workflow_type=f"type-{number}")
        await scene.release(run, wake_at=scene.clock() + delay * SECOND)
    await scene.start_owned("order-2")

    assert await scene.next_wake() == scene.clock() + 10 * SECOND
    assert await scene.next_wake(workflow_types=["type-0"]) == scene.clock() + 30 * SECOND
    assert await scene.next_wake(workflow_types=["type-9"]) is None
    assert await scene.next_wake(namespace="tenant-2") is None


async def test_a_release_that_is_due_is_told_and_a_later_one_is_not(scene):
    await scene.worker("w1")
    now, later = await scene.start_owned("order-1"), await scene.start_owned("order-2")
    scene.heard.clear()

    await scene.release(later, wake_at=scene.clock() + 1)
    await scene.release(now, wake_at=scene.clock())

    assert scene.heard == [Change(ChangeKind.STARTED, QUEUE, now)]


async def test_a_plain_step_tells_nobody(scene):
    await scene.worker("w1")
    run = await scene.start_owned()
    scene.heard.clear()

    await scene.commit("w1", await scene.member(run, scheduled()))

    assert scene.heard == []


async def test_a_release_gives_the_run_and_its_turn_away_together(scene):
    await scene.worker("w1")
    await scene.worker("w2")
    run = await scene.start_owned()
    member = await scene.member(run, scheduled(), update=RunUpdate(release=True, wake_at=scene.clock()))

    verdicts = await scene.commit("w1", member)

    assert verdicts == [Verdict.COMMITTED]
    [claim] = await scene.claim("w2")
    assert (claim.run.owner, claim.run.epoch) == ("w2", 2)
    assert len(await scene.store.read_history(run)) == 2


async def test_a_beat_raises_the_counter(scene):
    await scene.worker("w1")

    beats = [await scene.store.beat("w1") for _ in range(3)]

    [worker] = await scene.store.list_workers()
    assert beats == [1, 2, 3]
    assert worker.beat == 3


async def test_workers_are_listed_oldest_first_by_state(scene):
    for name, started_at in (("young", 3), ("old", 1), ("dead", 2)):
        record = WorkerRecord(
            incarnation=name,
            identity="i",
            task_queues="a\nb",
            started_at=started_at,
            boot_id="boot",
            lock_file="/run/lock",
            lock_inode=9,
        )
        await scene.store.register_worker(record)
    await scene.store.bury_worker("dead", beat=0)

    live, everyone = await scene.store.list_workers(), await scene.store.list_workers(state=None)

    assert [worker.incarnation for worker in live] == ["old", "young"]
    assert [(worker.incarnation, worker.state) for worker in everyone] == [
        ("old", "live"),
        ("dead", "dead"),
        ("young", "live"),
    ]
    assert await scene.store.list_workers(state="dead") == [everyone[1]]
    assert (live[0].task_queues, live[0].lock_file, live[0].lock_inode) == ("a\nb", "/run/lock", 9)


async def test_a_buried_worker_s_runs_are_due_at_once_and_name_it(scene):
    await scene.worker("w1")
    await scene.worker("w2")
    runs = [await scene.start_owned(f"order-{number}") for number in range(3)]
    scene.heard.clear()

    freed = await scene.store.bury_worker("w1", beat=0)

    claims = await scene.claim("w2")
    assert freed == 3
    assert sorted(claim.run.run_id for claim in claims) == sorted(runs)
    assert {claim.run.orphaned_by for claim in claims} == {"w1"}
    assert {(change.kind, change.key) for change in scene.heard} == {(ChangeKind.STARTED, QUEUE)}


async def test_a_burial_on_stale_evidence_does_nothing(scene):
    await scene.worker("w1")
    run = await scene.start_owned()
    await scene.store.beat("w1")

    answers = [await scene.store.bury_worker("w1", beat=0), await scene.store.bury_worker("nobody", beat=0)]

    assert answers == [None, None]
    assert (await scene.run(run)).owner == "w1"
    assert await scene.store.beat("w1") == 2


async def test_of_many_undertakers_one_buries(scene):
    await scene.worker("w1")
    await scene.start_owned()

    answers = await asyncio.gather(*(scene.store.bury_worker("w1", beat=0) for _ in range(10)))

    assert sorted(answers, key=str) == [1] + [None] * 9


async def test_dead_is_for_ever(scene):
    await scene.worker("w1")
    await scene.store.bury_worker("w1", beat=0)

    for attempt in (
        lambda: scene.store.beat("w1"),
        lambda: scene.claim("w1"),
        lambda: scene.store.read_inbox("w1"),
        lambda: scene.commit("w1"),
        lambda: scene.store.retire_worker("w1"),
        lambda: scene.worker("w1"),
    ):
        with pytest.raises(WorkerDeadError):
            await attempt()

    assert await scene.store.list_workers() == []


async def test_registering_again_while_live_changes_nothing(scene):
    await scene.worker("w1")
    await scene.store.beat("w1")

    await scene.worker("w1")

    [worker] = await scene.store.list_workers()
    assert worker.beat == 1


async def test_a_worker_that_retires_orphans_nothing(scene):
    await scene.worker("w1")
    await scene.worker("w2")
    run = await scene.start_owned()

    freed = await scene.store.retire_worker("w1")

    [claim] = await scene.claim("w2")
    assert freed == 1
    assert (claim.run.run_id, claim.run.orphaned_by, claim.run.claims) == (run, None, 0)


async def test_an_orphan_stays_one_until_its_lost_attempts_are_noted(scene):
    await scene.worker("w1")
    run = await scene.start_owned()
    await scene.store.bury_worker("w1", beat=0)
    await scene.worker("w2")
    await scene.claim("w2")
    await scene.store.bury_worker("w2", beat=0)
    await scene.worker("w3")

    [claim] = await scene.claim("w3")
    noted = await scene.member(run, scheduled(), update=RunUpdate(clear_orphaned=True))
    await scene.commit("w3", noted)

    # w2 had noted nothing, so what was lost was lost with w1.
    assert claim.run.orphaned_by == "w1"
    assert (await scene.run(run)).orphaned_by is None


async def test_claims_after_deaths_are_counted_while_the_history_does_not_grow(scene):
    """C7: a run that kills its workers is told by this number."""
    await scene.worker("w0")
    run = await scene.start_owned(worker="w0")
    counts = []
    for number in range(6):
        await scene.store.bury_worker(f"w{number}", beat=0)
        await scene.worker(f"w{number + 1}")
        [claim] = await scene.claim(f"w{number + 1}")
        counts.append(claim.run.claims)
        if number == 3:
            await scene.commit(f"w{number + 1}", await scene.member(run, scheduled()))

    assert counts == [1, 2, 3, 4, 1, 2]


async def test_a_claim_that_follows_no_death_counts_nothing(scene):
    await scene.worker("w1")
    run = await scene.start_owned()
    await scene.store.bury_worker("w1", beat=0)
    await scene.worker("w2")
    await scene.claim("w2")
    await scene.commit("w2", await scene.member(run, update=RunUpdate(clear_orphaned=True)))
    await scene.release(run, "w2", wake_at=0)

    [claim] = await scene.claim("w2")

    assert claim.run.claims == 0


async def test_a_new_worker_makes_runs_with_a_problem_due(scene):
    await scene.worker("w1")
    stuck, asleep = await scene.start_owned("order-1"), await scene.start_owned("order-2")
    await scene.release(stuck, wake_at=scene.clock() + 100 * SECOND, problem='{"kind":"X"}')
    await scene.release(asleep, wake_at=scene.clock() + 100 * SECOND)
    scene.heard.clear()

    await scene.worker("w2")

    [claim] = await scene.claim("w2")
    assert (claim.run.run_id, claim.run.problem) == (stuck, '{"kind":"X"}')
    assert scene.heard == [Change(ChangeKind.STARTED, QUEUE)]


async def test_a_release_without_a_problem_clears_it(scene):
    await scene.worker("w1")
    run = await scene.start_owned()
    await scene.release(run, wake_at=0, problem='{"kind":"X"}')
    await scene.claim()

    await scene.release(run, wake_at=0)

    assert (await scene.run(run)).problem is None


async def test_a_closed_run_is_in_no_queue(scene):
    """G5: closed runs leave every polling index."""
    await scene.worker("w1")
    await scene.close(await scene.start_owned("order-1"))
    await scene.start("order-2")
    await scene.store.terminate_run(terminate_request("order-2"))

    assert await scene.claim() == []
    assert await scene.next_wake() is None
    assert await scene.store.bury_worker("w1", beat=0) == 0


async def test_a_claim_brings_the_whole_inbox_in_order(scene):
    await scene.worker("w1")
    await scene.start()
    for number in range(5):
        await scene.store.send_message(signal_request(request_id=f"req-{number}"))

    [claim] = await scene.claim()

    assert [message.request_id for message in claim.messages] == [f"req-{number}" for number in range(5)]
    assert list(claim.messages) == await scene.store.read_inbox("w1")


async def test_a_listener_hears_nothing_after_it_was_removed(scene):
    heard = []
    remove = scene.store.subscribe(heard.extend)
    await scene.start("order-1")
    remove()
    remove()

    await scene.start("order-2")

    assert len(heard) == 1


async def test_a_listener_that_fails_harms_nobody(scene, caplog):
    def fail(changes):
        raise RuntimeError("event loop is closed")

    scene.store.subscribe(fail)
    heard = []
    scene.store.subscribe(heard.extend)

    outcome = await scene.start()

    assert (await scene.store.find_run(NAMESPACE, "order-1")).run_id == outcome.run_id
    assert len(heard) == 1
    assert "listener" in caplog.text


async def test_a_worker_whose_process_lives_is_never_proven_dead(scene):
    """C5: a lock is believed only when it proves something; a probe by its own process proves nothing."""
    lock = await scene.store.hold_lock("w1")
    record = WorkerRecord(
        incarnation="w1",
        identity="i",
        task_queues=QUEUE,
        started_at=1,
        boot_id=lock.boot_id,
        lock_file=lock.path,
        lock_inode=lock.inode,
    )
    await scene.store.register_worker(record)
    await scene.worker("w2")

    workers = await scene.store.list_workers()

    assert await scene.store.proven_dead(workers) == []
    assert await scene.store.beat("w1") == 1
