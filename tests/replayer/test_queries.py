"""Queries answer from the state between two turns and leave no trace."""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from perdure_replayer.definition import HandlerDefinition
from perdure_replayer.errors import QueryFailedError, ReadOnlyContextError
from perdure_replayer.turn import HistoryEvent, LiveRun
from tests.replayer.driver import (
    CONVERTER,
    RUN_ID,
    START,
    Driver,
    activity,
    assert_replays,
    class_workflow,
    here,
    payload,
    start_event,
)


class Asked:
    """Draws and waits, and is asked all sorts of things meanwhile."""

    def __init__(self) -> None:
        self.numbers: list[Any] = []
        self.own: Random | None = None

    async def run(self) -> list[Any]:
        self.own = here().new_random()
        self.main = here().random
        self.event = asyncio.Event()
        self.task = asyncio.create_task(self.event.wait())
        for _ in range(4):
            self.numbers.append([here().random.random(), str(here().uuid4()), str(here().uuid7())])
            self.numbers.append([here().new_random().random(), self.own.random()])
            await activity("step", len(self.numbers))
        self.task.cancel()
        return self.numbers

    def count(self, add: int = 0) -> int:
        return len(self.numbers) + add

    async def count_later(self) -> int:
        return len(self.numbers)

    def draw(self) -> list[Any]:
        assert self.own is not None
        return [
            self.own.random(),
            self.main.random(),
            here().random.random(),
            str(here().uuid4()),
            here().new_random().random(),
        ]

    def read_only(self) -> bool:
        return here().is_read_only

    def schedule(self) -> None:
        activity("from a query")

    def timer(self) -> None:
        here().start_timer(1)

    def late(self) -> None:
        asyncio.get_running_loop().call_later(1, print)

    def soon(self) -> None:
        asyncio.get_running_loop().call_soon(print)

    def task(self) -> None:
        asyncio.create_task(self.event.wait())  # noqa: RUF006  # it is refused

    def condition(self) -> None:
        here().wait_condition(lambda: True)

    def handler(self) -> None:
        here().set_signal_handler("x", HandlerDefinition("x", Asked.count, None))

    def refuse(self) -> None:
        here().refuse_if_read_only("dance")

    def crash(self) -> None:
        raise ValueError("no answer")

    async def wait(self) -> None:
        await asyncio.sleep(0)

    def unencodable(self) -> object:
        return object()


WRITES = ["schedule", "timer", "late", "soon", "condition", "handler", "refuse"]
FAILS = ["crash", "wait", "unencodable"]
ASKED = class_workflow(Asked, queries=["count", "count_later", "draw", "read_only", *WRITES, *FAILS])


def ask(run: LiveRun, name: str, *arguments: object) -> Any:
    return CONVERTER.from_payload(run.query(name, [payload(one) for one in arguments]), Any)


def test_query_answers_from_the_state_at_the_end_of_the_turn() -> None:
    driver = Driver(ASKED)

    assert ask(driver.run, "count") == 2
    driver.complete("step")

    assert [ask(driver.run, "count", 10), ask(driver.run, "count_later")] == [14, 4]
    assert ask(driver.run, "read_only") is True
    assert ask(driver.load(), "count") == 4


@pytest.mark.parametrize("name", WRITES)
def test_query_may_not_change_the_run(name: str) -> None:
    driver = Driver(ASKED)

    with pytest.raises(QueryFailedError, match="cannot") as failed:
        ask(driver.run, name)

    assert isinstance(failed.value.__cause__, ReadOnlyContextError)
    driver.drive()
    assert_replays(ASKED, driver.history)


@pytest.mark.parametrize(
    ("name", "why"), [("crash", "ValueError: no answer"), ("wait", "at once"), ("unencodable", "object")]
)
def test_failing_query_says_why(name: str, why: str) -> None:
    with pytest.raises(QueryFailedError, match=why):
        ask(Driver(ASKED).run, name)


def test_unknown_query_names_the_known_ones() -> None:
    with pytest.raises(QueryFailedError, match="known are .*'count'"):
        ask(Driver(ASKED).run, "nothing")


def test_query_of_a_run_without_a_first_turn_is_refused() -> None:
    run = LiveRun(RUN_ID, ASKED, CONVERTER)
    run.replay([HistoryEvent(1, 1, START, start_event(ASKED))])

    with pytest.raises(QueryFailedError, match="not begun"):
        ask(run, "count")


def test_queries_sprinkled_anywhere_change_no_event() -> None:
    """D3: random draws in a query are taken back, tasks and timers refused."""

    def drive(between: Callable[[LiveRun], None]) -> Driver:
        driver = Driver(ASKED)
        while not driver.run.closed:
            between(driver.run)
            driver.complete("step")
        return driver

    def pester(run: LiveRun) -> None:
        assert ask(run, "draw") == ask(run, "draw")
        for name in ("count", *WRITES, *FAILS, "unknown"):
            try:
                ask(run, name)
            except QueryFailedError:
                continue

    assert drive(pester).history == drive(lambda run: None).history


def test_query_works_on_a_closed_run() -> None:
    driver = Driver(ASKED)

    driver.drive()

    assert ask(driver.run, "count") == 8
    assert ask(driver.load(), "count") == 8
