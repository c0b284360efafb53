"""300 SIGKILLs at random moments over 3,000 runs: nothing that was acknowledged is lost, nothing is there twice."""

import os
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass

import pytest

from perdure_history.records import RunStatus
from tests.checker import Dump, Kind, check
from tests.end_to_end.acks import read_acks
from tests.end_to_end.processes import Child, Nursery
from tests.end_to_end.programs import LoadPlan, Place, WorkerPlan, load, work
from tests.end_to_end.replaying import replay_everything
from tests.end_to_end.tables import integrity, read_tables, read_tables_apart

CLIENTS = ("anna", "bert")
PARALLEL = 20
SHORT_LEASE = 2.0
"""Seconds; frozen workers lose theirs."""


@dataclass
class Tally:
    """What was done to the processes."""

    kills: Counter[str]
    seed: int


class Village:
    """Two workers and two clients on one file; whoever is killed comes back at once."""

    def __init__(
        self,
        children: Nursery,
        place: Place,
        *,
        seed: int,
        runs: int,
        load_seconds: float,
        lease: float = SHORT_LEASE,
    ) -> None:
        self.children = children
        self.place = place
        self.lease = lease
        self.dice = random.Random(seed)
        each = runs // len(CLIENTS)
        self.plans = {
            name: LoadPlan(
                name=name,
                seed=seed,
                runs=each,
                rest_seconds=load_seconds * PARALLEL / each,
                parallel=PARALLEL,
            )
            for name in CLIENTS
        }
        self.freezes = 0
        self.workers = [self._worker() for _ in range(2)]
        self.clients = {name: self._client(name) for name in CLIENTS}
        self.tally = Tally(Counter(), seed)

    def recover(self) -> None:
        """Let two workers without a bug finish what there is."""
        for index, worker in enumerate(self.workers):
            worker.kill()
            self.workers[index] = self.children.start(work, self.place)

    def freeze_someone(self) -> None:
        """SIGSTOP a worker, now and then for longer than its lease, and let it go on."""
        worker = self.dice.choice(self.workers)
        os.kill(worker.pid, signal.SIGSTOP)
        time.sleep(self.lease * self.dice.choice([0.1, 0.5, 1.1, 1.5]))  # the pause is the fault
        os.kill(worker.pid, signal.SIGCONT)
        self.freezes += 1

    def kill_someone(self) -> None:
        """SIGKILL a worker (three times of four) or a client, and start it again."""
        busy = [name for name, child in self.clients.items() if child.alive]
        if busy and self.dice.random() < 0.25:
            name = self.dice.choice(busy)
            self.clients[name].kill()
            self.clients[name] = self._client(name)
            self.tally.kills["client"] += 1
            return
        index = self.dice.randrange(len(self.workers))
        self.workers[index].kill()
        self.workers[index] = self._worker()
        self.tally.kills["worker"] += 1

    @property
    def clients_are_done(self) -> bool:
        return not any(child.alive for child in self.clients.values())

    def _worker(self) -> Child:
        plan = WorkerPlan(
            lease_seconds=self.lease,
            max_activities=self.dice.choice([2, 100]),
            max_cached=self.dice.choice([0, 5, 1000, 1000]),
            bad_mood=self.dice.random() < 0.3,
        )
        return self.children.start(work, self.place, plan)

    def _client(self, name: str) -> Child:
        return self.children.start(load, self.place, self.plans[name])


def open_runs(dump: Dump) -> int:
    return sum(run.status is RunStatus.RUNNING for run in dump.runs)


def working_incarnations(dump: Dump) -> int:
    """How many workers, one after the other, have recorded something."""
    known = {worker.incarnation for worker in dump.workers}
    actors = {row.actor.rpartition("/")[2] for rows in dump.history.values() for row in rows}
    return len(known & actors)


def lost_attempts(dump: Dump) -> int:
    """How many attempts were lost with their workers."""
    return sum("lost_worker" in row.attributes for rows in dump.history.values() for row in rows)


def lock_files(place: Place) -> int:
    """How many files lie beside the database."""
    return len(list(place.database.with_name(place.database.name + "-perdure").iterdir()))


def wait_until_all_closed(place: Place, seconds: float) -> Dump:
    """The tables once every run has closed; the last ones seen when that does not come about."""
    deadline = time.monotonic() + seconds
    while True:
        dump = read_tables_apart(place.database)
        if not open_runs(dump) or time.monotonic() > deadline:
            return dump
        time.sleep(0.5)  # nothing in this process could be waited for: the workers are others


def kill_at_random(
    children: Nursery, place: Place, figure, *, seed: int, runs: int, kills: int, pause: float
) -> None:
    village = Village(children, place, seed=seed, runs=runs, load_seconds=0.8 * kills * pause)
    figure(f"random SIGKILLs: seed {seed} (repeat with PERDURE_TEST_SEED={seed})")
    while village.tally.kills.total() < kills:
        time.sleep(village.dice.uniform(0, 2 * pause))  # the moment of the kill is what is random
        village.kill_someone()
        if village.tally.kills.total() % 30 == 0:
            village.freeze_someone()
    middle = read_tables_apart(place.database)
    for child in village.clients.values():
        assert child.join(240) == 0
    village.recover()
    dump = wait_until_all_closed(place, 120)
    acks = read_acks(place.folder)
    found = check(dump, acks, earlier=middle)
    replayed = replay_everything(dump)
    count = Counter(violation.kind for violation in found)
    figure(
        f"random SIGKILLs, seed {seed}: {village.tally.kills.total()} kills ({dict(village.tally.kills)}), {village.freezes} freezes, "
        f"{len(dump.runs)} runs, {sum(map(len, dump.history.values()))} events, "
        f"{sum(ack.answer == 'ok' for ack in acks)} acked, {count[Kind.LOST]} lost, {count[Kind.TWICE]} twice, "
        f"{open_runs(dump)} open; {working_incarnations(dump)} of {len(dump.workers)} workers had recorded something, "
        f"{lost_attempts(dump)} attempts were lost with them; {replayed} events replayed"
    )

    assert found == []
    assert open_runs(dump) == 0
    assert len(dump.runs) >= runs * 0.99
    assert integrity(place.database) == "ok"
    assert lock_files(place) <= 10, "the dead leave their locks behind"
    assert working_incarnations(dump) >= kills / 3, "the kills came when there was nothing to kill"


def new_seed() -> int:
    """A fresh seed, or the one to repeat."""
    return int(os.environ.get("PERDURE_TEST_SEED", random.SystemRandom().randrange(1 << 32)))


def freeze_at_random(children: Nursery, place: Place, figure, *, seed: int, runs: int, freezes: int) -> None:
    figure(f"random SIGSTOPs: seed {seed} (repeat with PERDURE_TEST_SEED={seed})")
    village = Village(children, place, seed=seed, runs=runs, load_seconds=0.6 * freezes, lease=0.5)
    while village.freezes < freezes:
        time.sleep(village.dice.uniform(0, 0.5))  # the moment of the freeze is what is random
        village.freeze_someone()
    for child in village.clients.values():
        assert child.join(240) == 0
    village.recover()
    dump = wait_until_all_closed(place, 120)
    found = check(dump, read_acks(place.folder))
    replay_everything(dump)
    buried = sum(worker.state == "dead" for worker in dump.workers)
    figure(
        f"random SIGSTOPs: {freezes} freezes, {len(dump.runs)} runs, {buried} workers buried, {len(found)} violations"
    )

    assert found == []
    assert open_runs(dump) == 0
    assert buried >= freezes / 5


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_40_freezes_around_the_length_of_a_lease_harm_nothing(children, place, figure):
    """Zombies (C1): a worker that was taken for dead and wakes up again finds every write of its refused."""
    freeze_at_random(children, place, figure, seed=new_seed(), runs=400, freezes=40)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_500_freezes_around_the_length_of_a_lease_harm_nothing(children, place, figure):
    freeze_at_random(children, place, figure, seed=new_seed(), runs=5_000, freezes=500)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_300_kills_over_3000_runs_lose_nothing_and_double_nothing(children, place, figure):
    kill_at_random(children, place, figure, seed=new_seed(), runs=3_000, kills=300, pause=0.35)


@pytest.mark.soak
@pytest.mark.timeout(7200)
def test_1000_kills_over_20000_runs_lose_nothing_and_double_nothing(children, place, figure):
    kill_at_random(children, place, figure, seed=new_seed(), runs=20_000, kills=1_000, pause=0.8)


def test_the_tables_of_an_unknown_file_are_not_made_up(tmp_path):
    with pytest.raises(Exception, match="unable to open"):
        read_tables(tmp_path / "missing.db")
