"""What commit_turns promises, on every store: the one atomic verb."""

import asyncio

import pytest

from perdure_history.chain import GENESIS, seal
from perdure_history.errors import EventTooLargeError, InvalidIdError, WorkerDeadError
from perdure_history.events import WorkflowExecutionTerminated, WorkflowTaskFailed
from perdure_history.failures import Failure
from perdure_history.limits import MAX_EVENT_BYTES
from perdure_history.records import RunStatus, RunUpdate, TurnCommit, Verdict
from perdure_history.verification import verify_rows
from tests.conformance.scene import (
    CLOSING,
    completed,
    fired,
    member_on,
    new_run_id,
    scheduled,
    signal_event,
    signal_request,
    terminate_request,
    timer,
)


@pytest.fixture
async def run(scene):
    """A run that worker w1 holds."""
    await scene.worker("w1")
    return await scene.start_owned()


async def test_a_committed_turn_stands_in_the_history_as_it_was_sealed(scene, run):
    member = await scene.member(run, scheduled(), timer())

    verdicts = await scene.commit("w1", member)

    assert verdicts == [Verdict.COMMITTED]
    rows = await scene.store.read_history(run)
    assert tuple(rows[1:]) == member.rows
    assert await scene.store.last_event(run) == member.rows[-1]
    assert verify_rows(run, rows) == []


async def test_second_committer_of_a_turn_is_told_it_is_stale(scene, run):
    await scene.worker("w2")
    mine, rival = await scene.member(run, scheduled("a")), await scene.member(run, scheduled("b"), actor="w2")

    verdicts = await scene.commit("w1", mine) + await scene.commit("w2", rival)

    assert verdicts == [Verdict.COMMITTED, Verdict.STALE]
    assert await scene.store.last_event(run) == mine.rows[-1]


async def test_of_committers_that_race_exactly_one_wins(scene, run):
    members = [await scene.member(run, scheduled(f"a{number}"), timer()) for number in range(20)]

    answers = await asyncio.gather(*(scene.commit("w1", member) for member in members))

    verdicts = [verdict for [verdict] in answers]
    assert verdicts.count(Verdict.COMMITTED) == 1
    winner = members[verdicts.index(Verdict.COMMITTED)]
    assert tuple(await scene.store.read_history(run, after_seq=1)) == winner.rows


async def test_a_stale_member_costs_the_others_of_its_group_nothing(scene, run):
    other, third = await scene.start_owned("order-2"), await scene.start_owned("order-3")
    stale = await scene.member(other, scheduled("late"), timer())
    await scene.commit("w1", await scene.member(other, scheduled("early")))
    group = [await scene.member(run, scheduled()), stale, await scene.member(third, scheduled(), timer())]

    verdicts = await scene.commit("w1", *group)

    assert verdicts == [Verdict.COMMITTED, Verdict.STALE, Verdict.COMMITTED]
    assert len(await scene.store.read_history(other)) == 2
    assert len(await scene.store.read_history(run)) == 2
    assert len(await scene.store.read_history(third)) == 3


async def test_the_same_bytes_twice_are_committed_twice_and_recorded_once(scene, run):
    member = await scene.member(run, scheduled())
    first = await scene.commit("w1", member)
    await scene.commit("w1", await scene.member(run, completed(2), turn=2))

    again = await scene.commit("w1", member)

    assert first == again == [Verdict.COMMITTED]
    assert len(await scene.store.read_history(run)) == 3


async def test_the_same_member_twice_in_one_group_is_recorded_once(scene, run):
    member = await scene.member(run, scheduled())

    verdicts = await scene.commit("w1", member, member)

    assert verdicts == [Verdict.COMMITTED, Verdict.COMMITTED]
    assert len(await scene.store.read_history(run)) == 2


async def test_members_of_one_run_land_in_their_order(scene, run):
    first = await scene.member(run, scheduled())
    second = member_on(run, first.rows[-1], completed(2), timer(), turn=2)
    rival = member_on(run, first.rows[-1], fired(2), turn=2)

    verdicts = await scene.commit("w1", first, second, rival)

    assert verdicts == [Verdict.COMMITTED, Verdict.COMMITTED, Verdict.STALE]
    assert tuple(await scene.store.read_history(run, after_seq=1)) == first.rows + second.rows


async def test_a_member_that_closes_its_run_stops_the_next_of_the_group(scene, run):
    done = await scene.member(run, CLOSING[RunStatus.COMPLETED], update=RunUpdate(status=RunStatus.COMPLETED))
    after = member_on(run, done.rows[-1], WorkflowTaskFailed(failure=Failure(message="no")), turn=None)

    verdicts = await scene.commit("w1", done, after)

    assert verdicts == [Verdict.COMMITTED, Verdict.STALE]
    assert len(await scene.store.read_history(run)) == 2


async def test_a_gap_is_never_written(scene, run):
    """A2: the key alone would let a turn stand behind a hole."""
    lost = await scene.member(run, scheduled())
    beyond = member_on(run, lost.rows[-1], completed(2), turn=2)

    verdicts = await scene.commit("w1", beyond)

    assert verdicts == [Verdict.STALE]
    assert len(await scene.store.read_history(run)) == 1


async def test_a_predecessor_with_another_hash_is_not_built_on(scene, run):
    lost = await scene.member(run, scheduled("a"))
    beyond = member_on(run, lost.rows[-1], completed(2), turn=2)
    await scene.commit("w1", await scene.member(run, scheduled("b")))

    verdicts = await scene.commit("w1", beyond)

    assert verdicts == [Verdict.STALE]
    assert len(await scene.store.read_history(run)) == 2


async def test_an_unknown_run_is_stale(scene, run):
    unknown = new_run_id()
    [row] = seal(unknown, [(timer(), 1, "w1")], prev_seq=0, prev_hash=GENESIS, recorded_at=1)
    member = TurnCommit(run_id=unknown, prev_seq=0, prev_hash=GENESIS, rows=(row,))

    verdicts = await scene.commit("w1", member)

    assert verdicts == [Verdict.STALE]
    assert await scene.store.read_history(unknown) == []


async def test_nothing_follows_a_closing_event(scene, run):
    """C3: a closing event has no successor, whoever tries."""
    await scene.store.terminate_run(terminate_request())

    verdicts = await scene.commit("w1", await scene.member(run, scheduled()))

    assert verdicts == [Verdict.STALE]
    assert (await scene.types(run))[-1] == WorkflowExecutionTerminated.__name__


async def test_a_closed_run_says_so_in_its_summary(scene, run):
    await scene.close(run)

    after = await scene.run(run)

    last = await scene.store.last_event(run)
    assert (after.status, after.closed_at) == (RunStatus.COMPLETED, last.recorded_at)
    assert (after.owner, after.wake_at, after.history_length) == (None, None, 2)


async def test_closing_twice_with_the_same_bytes_is_committed(scene, run):
    member = await scene.member(run, CLOSING[RunStatus.FAILED], update=RunUpdate(status=RunStatus.FAILED))

    verdicts = await scene.commit("w1", member) + await scene.commit("w1", member)

    assert verdicts == [Verdict.COMMITTED, Verdict.COMMITTED]
    assert len(await scene.store.read_history(run)) == 2


async def test_a_dead_worker_commits_nothing(scene, run):
    """C1: what was computed before the takeover is lost, whoever would have been first."""
    member = await scene.member(run, scheduled())
    await scene.store.bury_worker("w1", beat=0)

    with pytest.raises(WorkerDeadError) as caught:
        await scene.commit("w1", member)

    assert caught.value.incarnation == "w1"
    assert len(await scene.store.read_history(run)) == 1


async def test_an_unregistered_worker_is_as_dead(scene, run):
    with pytest.raises(WorkerDeadError):
        await scene.commit("stranger", await scene.member(run, scheduled()))

    assert len(await scene.store.read_history(run)) == 1


async def test_an_update_of_the_summary_needs_the_owner(scene, run):
    await scene.worker("w2")
    closing = await scene.member(
        run, CLOSING[RunStatus.COMPLETED], update=RunUpdate(status=RunStatus.COMPLETED)
    )
    release = await scene.member(run, update=RunUpdate(release=True))

    verdicts = await scene.commit("w2", closing, release)

    assert verdicts == [Verdict.STALE, Verdict.STALE]
    assert (await scene.run(run)).owner == "w1"


async def test_a_problem_is_written_and_cleared_without_a_release(scene, run):
    await scene.commit(
        "w1", await scene.member(run, update=RunUpdate(set_problem=True, problem='{"kind":"X"}'))
    )
    written = await scene.run(run)
    await scene.commit("w1", await scene.member(run, timer(), update=RunUpdate(clear_orphaned=True)))
    kept = await scene.run(run)

    await scene.commit("w1", await scene.member(run, update=RunUpdate(set_problem=True)))

    assert written.problem == kept.problem == '{"kind":"X"}'
    assert (await scene.run(run)).problem is None
    assert (await scene.run(run)).owner == "w1"


async def test_a_group_takes_only_the_messages_that_it_names(scene, run):
    for number in (1, 2, 3):
        await scene.store.send_message(signal_request(request_id=f"req-{number}"))
    first, second, _ = await scene.store.read_inbox("w1")
    member = await scene.member(run, signal_event(), taken=(first.id, second.id), turn=2)

    verdicts = await scene.commit("w1", member)

    assert verdicts == [Verdict.COMMITTED]
    assert [message.request_id for message in await scene.store.read_inbox("w1")] == ["req-3"]


async def test_a_stale_member_takes_no_message(scene, run):
    await scene.store.send_message(signal_request())
    [message] = await scene.store.read_inbox("w1")
    stale = await scene.member(run, signal_event(), taken=(message.id,), turn=2)
    await scene.commit("w1", await scene.member(run, timer()))

    verdicts = await scene.commit("w1", stale)

    assert verdicts == [Verdict.STALE]
    assert await scene.store.read_inbox("w1") == [message]


async def test_an_event_over_the_limit_is_refused_before_anything_is_written(scene, run):
    other = await scene.start_owned("order-2")
    huge = await scene.member(run, scheduled("x" * MAX_EVENT_BYTES))

    with pytest.raises(EventTooLargeError) as caught:
        await scene.commit("w1", await scene.member(other, scheduled()), huge)

    assert caught.value.run_id == run
    assert len(await scene.store.read_history(run)) == len(await scene.store.read_history(other)) == 1


@pytest.mark.parametrize("poison", ["too large", "impossible text"])
async def test_a_poisoned_group_costs_nothing_to_those_that_commit_beside_it(scene, run, poison):
    """A8: what can never be written is refused before it joins others."""
    others = [await scene.start_owned(f"order-{number}") for number in range(2, 12)]
    bad = (
        await scene.member(run, scheduled("x" * MAX_EVENT_BYTES))
        if poison == "too large"
        else await scene.member(run, scheduled(), actor="a\0b")
    )
    good = [await scene.member(other, scheduled()) for other in others]

    answers = await asyncio.gather(
        *(scene.commit("w1", member) for member in [*good[:5], bad, *good[5:]]), return_exceptions=True
    )

    assert isinstance(answers.pop(5), EventTooLargeError if poison == "too large" else InvalidIdError)
    assert answers == [[Verdict.COMMITTED]] * 10
    assert len(await scene.store.read_history(run)) == 1


async def test_a_malformed_member_is_refused_before_anything_is_written(scene, run):
    good = await scene.member(run, scheduled(), timer())
    gap = TurnCommit(run_id=run, prev_seq=1, prev_hash=good.prev_hash, rows=good.rows[1:])
    open_end = await scene.member(run, CLOSING[RunStatus.COMPLETED])
    no_end = await scene.member(run, timer(), update=RunUpdate(status=RunStatus.COMPLETED))

    for member in (gap, open_end, no_end):
        with pytest.raises(ValueError, match=run):
            await scene.commit("w1", member)

    assert len(await scene.store.read_history(run)) == 1


async def test_an_empty_group_has_no_verdicts(scene, run):
    assert await scene.commit("w1") == []
