"""What is due is called once store time has reached it: never before, and not long after a machine slept."""

import asyncio
from collections.abc import Callable

import pytest

from perdure.worker._due import LONGEST_NAP_SECONDS, DueQueue

SECOND = 1_000_000
MINUTE = 60 * SECOND


class Alarm:
    """What the loop gives back for a call that it was asked for."""

    def __init__(self, at: float, callback: Callable[[], None]) -> None:
        self.at = at
        self.callback = callback
        self.canceled = False

    def cancel(self) -> None:
        self.canceled = True


class World:
    """A loop and a store whose clocks go as a test says."""

    def __init__(self) -> None:
        self.loop_seconds = 0.0
        self.store_us = 1_700_000_000 * SECOND
        self.alarms: list[Alarm] = []

    def now(self) -> int:
        return self.store_us

    def call_later(self, delay: float, callback: Callable[[], None]) -> Alarm:
        self.alarms.append(Alarm(self.loop_seconds + delay, callback))
        return self.alarms[-1]

    def pass_time(self, *, loop: float, store: float) -> None:
        """So many seconds pass on each clock; then the loop calls what it is late for."""
        self.loop_seconds += loop
        self.store_us += round(store * SECOND)
        ringing = [one for one in self.alarms if one.at <= self.loop_seconds and not one.canceled]
        self.alarms = [one for one in self.alarms if one.at > self.loop_seconds and not one.canceled]
        for one in ringing:
            one.callback()


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    world = World()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: world)
    return world


def test_what_fell_due_while_the_machine_slept_is_called_after_the_longest_nap(world: World):
    """The loop's clock stands still in a sleep: what was an hour off is an hour off still, by that clock."""
    queue, called = DueQueue(world.now), []
    queue.add(world.now() + 60 * MINUTE, lambda: called.append("due"))

    world.pass_time(loop=0, store=3601)
    asleep = list(called)
    world.pass_time(loop=LONGEST_NAP_SECONDS, store=LONGEST_NAP_SECONDS)

    assert asleep == []
    assert called == ["due"]
    assert LONGEST_NAP_SECONDS <= 10


@pytest.mark.parametrize("rate", [0.5, 0.99, 0.999_999, 1.0])
def test_a_loop_that_runs_ahead_of_the_store_calls_nothing_early(world: World, rate: float):
    """Store time decides, whatever the clock says that wakes the loop."""
    queue, called = DueQueue(world.now), []
    due = world.now() + 7 * SECOND
    queue.add(due, lambda: called.append(world.now()))

    for _ in range(40):
        world.pass_time(loop=0.5, store=0.5 * rate)

    assert [at >= due for at in called] == [True]


@pytest.mark.parametrize("jump", [-1800, 1800])
def test_store_time_that_jumps_moves_what_is_due_and_loses_nothing(world: World, jump: float):
    queue, called = DueQueue(world.now), []
    due = world.now() + 600 * SECOND
    queue.add(due, lambda: called.append(world.now()))

    world.pass_time(loop=5, store=5 + jump)
    for _ in range(3000):
        world.pass_time(loop=1, store=1)
        if called:
            break

    late = called[0] - due
    assert late >= 0
    assert jump > 0 or late <= LONGEST_NAP_SECONDS * SECOND
    assert world.loop_seconds <= 5 + max(600 - jump, 0) + LONGEST_NAP_SECONDS


def test_what_is_added_earlier_than_the_rest_is_not_kept_waiting_by_it(world: World):
    queue, called = DueQueue(world.now), []
    queue.add(world.now() + 60 * MINUTE, lambda: called.append("late"))
    queue.add(world.now() + SECOND, lambda: called.append("soon"))

    world.pass_time(loop=1, store=1)

    assert called == ["soon"]
