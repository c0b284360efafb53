"""Law 3: of two committers of one turn, one wins and one is told so, whatever the sizes and the order."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from perdure_history.records import Verdict
from perdure_history.verification import verify_rows
from tests.conformance.scene import Scene, member_on, scheduled
from tests.conformance.stores import STORES, ManualClock

SIZES = range(1, 6)


def turn_of(run_id, head, size, actor):
    return member_on(run_id, head, *(scheduled(f"{actor}-{n}") for n in range(size)), actor=actor)


async def three_runs(scene):
    for worker in ("w1", "w2"):
        await scene.worker(worker)
    runs = [await scene.start_owned(f"order-{number}") for number in range(3)]
    return runs, [await scene.store.last_event(run) for run in runs]


@pytest.mark.parametrize("kind", list(STORES))
async def test_a_loser_s_tail_never_lands_at_any_pairing_of_sizes(kind, tmp_path):
    """A1: turns of 1 to 5 events against rivals of 1 to 5, in every place of a group of 3."""
    clock = ManualClock()
    scene = Scene(await STORES[kind](tmp_path, clock), clock)
    await scene.worker("w1")
    await scene.worker("w2")
    pairings = [(mine, rival, place) for mine in SIZES for rival in SIZES for place in range(3)]

    for number, (mine, rival, place) in enumerate(pairings):
        runs = [await scene.start_owned(f"order-{number}-{member}") for member in range(3)]
        heads = [await scene.store.last_event(run) for run in runs]
        winner = turn_of(runs[place], heads[place], rival, "w2")
        group = [turn_of(run, head, mine, "w1") for run, head in zip(runs, heads, strict=True)]
        assert await scene.commit("w2", winner) == [Verdict.COMMITTED]

        verdicts = await scene.commit("w1", *group)

        assert verdicts == [Verdict.STALE if at == place else Verdict.COMMITTED for at in range(3)]
        for at, run in enumerate(runs):
            landed = winner.rows if at == place else group[at].rows
            assert tuple(await scene.store.read_history(run, after_seq=1)) == landed
    await scene.store.close()


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.tuples(st.sampled_from(SIZES), st.sampled_from(SIZES)), min_size=3, max_size=3),
    order=st.permutations(range(6)),
    joined=st.booleans(),
)
@pytest.mark.parametrize("kind", list(STORES))
def test_each_of_three_raced_runs_has_one_winner(kind, sizes, order, joined, tmp_path_factory):
    async def play():
        clock = ManualClock()
        scene = Scene(await STORES[kind](tmp_path_factory.mktemp("race"), clock), clock)
        runs, heads = await three_runs(scene)
        members = [
            (worker, turn_of(runs[at], heads[at], sizes[at][side], worker))
            for at in range(3)
            for side, worker in enumerate(("w1", "w2"))
        ]
        if joined:
            groups = [(w, [m for who, m in members if who == w]) for w in ("w1", "w2")]
        else:
            groups = [(members[at][0], [members[at][1]]) for at in order]
        answers = await asyncio.gather(*(scene.commit(worker, *group) for worker, group in groups))
        verdicts = [
            (member, verdict)
            for (_, group), answer in zip(groups, answers, strict=True)
            for member, verdict in zip(group, answer, strict=True)
        ]
        for run in runs:
            of_run = [(member, verdict) for member, verdict in verdicts if member.run_id == run]
            winners = [member for member, verdict in of_run if verdict is Verdict.COMMITTED]
            assert len(winners) == 1
            assert sum(verdict is Verdict.STALE for _, verdict in of_run) == 1
            rows = await scene.store.read_history(run)
            assert tuple(rows[1:]) == winners[0].rows
            assert verify_rows(run, rows) == []
        await scene.store.close()

    asyncio.run(play())
