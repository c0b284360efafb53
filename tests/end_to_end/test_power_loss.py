"""What was acknowledged survives a power loss; and the same test sees the loss that a weaker setting causes."""

import os
import random
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.checker import Dump, Kind, Violation, check
from tests.end_to_end.acks import read_acks
from tests.end_to_end.power import Disk, can_mount, disk
from tests.end_to_end.processes import Child, Nursery
from tests.end_to_end.programs import LoadPlan, Place, load_and_work
from tests.end_to_end.tables import integrity, read_tables

RUNS = 1_000_000
"""More than a load client gets through before the last cut."""


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Disk]:
    reason = can_mount(_made(tmp_path / "probe"))
    if reason is not None:
        pytest.skip(reason)
    with disk(_made(tmp_path / "machine")) as made:
        yield made


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def cut_power(machine: Disk, place: Place, child: Child, pause: float) -> list[Violation]:
    """Let the child work, cut the power, and judge what comes up again by what was acknowledged until then."""
    time.sleep(pause)  # the moment of the cut is what is random
    os.kill(child.pid, signal.SIGSTOP)
    try:
        acks = read_acks(place.folder)
        with machine.after_a_cut() as files:
            return check(surviving_tables(files / place.database.name), acks)
    finally:
        os.kill(child.pid, signal.SIGCONT)


def surviving_tables(database: Path) -> Dump:
    """What came up again; nothing at all when not even the tables did."""
    if not database.exists():
        return Dump(runs=(), history={})
    assert integrity(database) == "ok"
    try:
        return read_tables(database)
    except sqlite3.OperationalError as error:
        assert "no such table" in str(error)
        return Dump(runs=(), history={})


def cut_again_and_again(
    machine: Disk, children: Nursery, folder: Path, *, synchronous: str, cuts: int, seed: int
) -> tuple[Counter[Kind], int, int]:
    """Violations by kind, cuts with a loss, and acknowledgements judged."""
    dice = random.Random(seed)
    place = Place(_made(folder), machine.mounted)
    child = children.start(load_and_work, place, LoadPlan(name="power", seed=seed, runs=RUNS), synchronous)
    assert child.hear() == "ready"
    found: Counter[Kind] = Counter()
    with_loss = 0
    for _ in range(cuts):
        violations = cut_power(machine, place, child, dice.uniform(0.1, 0.5))
        found.update(violation.kind for violation in violations)
        with_loss += any(violation.kind is Kind.LOST for violation in violations)
    acks = sum(ack.answer == "ok" for ack in read_acks(place.folder))
    child.kill()
    return found, with_loss, acks


def survive(machine: Disk, children: Nursery, folder: Path, figure, *, cuts: int) -> None:
    seed = random.SystemRandom().randrange(1 << 32)
    found, with_loss, acks = cut_again_and_again(
        machine, children, folder, synchronous="FULL", cuts=cuts, seed=seed
    )
    figure(f"power loss, seed {seed}: {cuts} cuts, {acks} acked in the end, {with_loss} cuts with a loss")
    assert found == {}


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_what_was_acknowledged_survives_power_loss(machine, children, tmp_path, figure):
    survive(machine, children, tmp_path / "logs", figure, cuts=10)


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_what_was_acknowledged_survives_100_power_losses(machine, children, tmp_path, figure):
    survive(machine, children, tmp_path / "logs", figure, cuts=100)


@pytest.mark.slow
@pytest.mark.timeout(200)
def test_the_power_cut_is_a_real_one_without_fsync_it_loses_what_was_acknowledged(
    machine, children, tmp_path, figure
):
    """The negative control: a harness that cannot see this loss would prove nothing above."""
    _, with_loss, acks = cut_again_and_again(
        machine, children, tmp_path / "logs", synchronous="OFF", cuts=3, seed=1
    )
    figure(f"power loss without fsync (negative control): 3 cuts, {acks} acked, {with_loss} cuts with a loss")
    assert with_loss > 0
