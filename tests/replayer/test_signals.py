"""Signals: order, buffering, handlers set late, and what their exceptions do."""

import asyncio
import logging
from typing import Any

import msgspec
import pytest

from perdure_history.events import WorkflowExecutionSignaled
from perdure_history.payloads import Payload
from perdure_replayer.definition import HandlerDefinition
from perdure_replayer.errors import TurnFailedError
from perdure_replayer.history import HistoryEvent
from perdure_replayer.turn import LiveRun
from tests.replayer.driver import (
    CONVERTER,
    RUN_ID,
    AppError,
    Driver,
    activity,
    assert_replays,
    class_workflow,
    here,
    signal,
)


class Basket:
    """Collects what it is told until it is told to stop."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.stopped = False

    async def run(self) -> list[Any]:
        self.items.append("run")
        await here().wait_condition(lambda: self.stopped and here().all_handlers_finished())
        return self.items

    def add(self, item: Any) -> None:
        self.items.append(item)

    async def fetch(self, name: str) -> None:
        self.items.append(await activity("fetch", name))

    async def stop(self) -> None:
        self.stopped = True

    def anything(self, name: str, payloads: tuple[Payload, ...]) -> None:
        self.items.append([name, *(CONVERTER.from_payload(one, Any) for one in payloads)])

    def refuse(self) -> None:
        raise AppError("refused")

    async def break_down(self) -> None:
        raise ValueError("bug")


NAMES = ["add", "fetch", "stop", "refuse", "break_down"]
BASKET = class_workflow(Basket, signals=NAMES)


def test_signals_with_the_start_come_before_the_main_coroutine() -> None:
    driver = Driver(BASKET, begin=[signal("add", 1), signal("add", 2)])

    driver.step(signal("add", 3), signal("stop"))

    assert driver.result() == [1, 2, "run", 3]
    assert_replays(BASKET, driver.history)


def test_handlers_run_side_by_side_and_are_waited_for() -> None:
    driver = Driver(BASKET)
    driver.step(signal("fetch", "a"), signal("fetch", "b"), signal("stop"))

    second = driver.completed("fetch", "B")
    driver.step(type(second)(scheduled_seq=second.scheduled_seq + 1, result=second.result))
    assert not driver.run.closed
    driver.complete("fetch", "A")

    assert driver.result() == ["run", "B", "A"]
    assert_replays(BASKET, driver.history)


def test_dynamic_handler_takes_what_no_other_does() -> None:
    definition = class_workflow(Basket, signals=["add", "stop"], dynamic_signal="anything")
    driver = Driver(definition)

    driver.step(signal("fetch", 7, "x"), signal("add", 1), signal("stop"))

    assert driver.result() == ["run", ["fetch", 7, "x"], 1]
    assert_replays(definition, driver.history)


def test_signal_waits_until_its_handler_is_set() -> None:
    class Late:
        async def run(self) -> list[Any]:
            self.seen: list[Any] = []
            await activity("first")
            here().set_signal_handler("tell", HandlerDefinition("tell", Late.tell, None))
            await activity("second")
            here().set_signal_handler(None, HandlerDefinition("", Late.rest, None, takes_raw=True))
            here().set_signal_handler("tell", None)
            await activity("third")
            return self.seen

        def tell(self, word: str) -> None:
            self.seen.append(word)

        def rest(self, name: str, payloads: tuple[Payload, ...]) -> None:
            self.seen.append(name)

    definition = class_workflow(Late)
    driver = Driver(definition, begin=[signal("tell", 1), signal("other")])
    driver.step(signal("tell", 2))

    driver.complete("first")
    driver.step(signal("tell", 3))
    driver.complete("second")
    driver.step(signal("tell", 4))
    driver.complete("third")

    assert driver.result() == [1, 2, 3, "other", "tell"]
    assert_replays(definition, driver.history)


def test_signal_whose_arguments_do_not_decode_is_dropped_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    handler = HandlerDefinition("add", Basket.add, (int,))
    definition = class_workflow(Basket, signals=["stop"])
    definition = type(definition)(
        **{
            **{name: getattr(definition, name) for name in definition.__slots__},
            "signals": {**definition.signals, "add": handler},
        }
    )
    driver = Driver(definition)
    with caplog.at_level(logging.WARNING):
        driver.step(signal("add", "not a number"), signal("add", 1), signal("stop"))
    assert "'add' is dropped" in caplog.text
    caplog.clear()

    assert driver.result() == ["run", 1]
    LiveRun(RUN_ID, definition, CONVERTER).replay(driver.history)
    assert caplog.text == ""


def test_exception_in_a_handler_counts_like_one_of_the_main_coroutine() -> None:
    driver = Driver(BASKET)

    driver.step(signal("refuse"))

    assert driver.outputs()[-1] == "WorkflowExecutionFailed"
    assert_replays(BASKET, driver.history)
    with pytest.raises(TurnFailedError, match="ValueError: bug"):
        Driver(BASKET).step(signal("break_down"))


def test_request_ids_of_all_messages_are_known() -> None:
    driver = Driver(BASKET, begin=[signal("add", 1, request_id="r1")])

    driver.step(signal("nobody", request_id="r2"))

    assert driver.run.request_ids == {"r1", "r2"}
    assert driver.load().request_ids == {"r1", "r2"}


def test_request_that_started_the_run_may_signal_it_too() -> None:
    driver = Driver(BASKET)
    first = driver.history[0]
    start = msgspec.structs.replace(first.event, request_id="r1")
    driver.history[0] = HistoryEvent(first.seq, first.turn, first.recorded_at, start)

    loaded = driver.load()

    assert loaded.request_ids == set()


def test_failure_of_a_background_task_is_not_the_runs(caplog: pytest.LogCaptureFixture) -> None:
    class Careless:
        async def run(self) -> str:
            async def fail() -> None:
                raise ValueError("unseen")

            self.task = asyncio.create_task(fail())
            await asyncio.sleep(1)
            return "done"

    definition = class_workflow(Careless)
    driver = Driver(definition)

    driver.fire()

    assert driver.result() == "done"


def test_late_note_of_an_undelivered_signal_is_a_known_message() -> None:
    driver = Driver(BASKET)
    late = WorkflowExecutionSignaled(signal_name="add", request_id="late", delivered=False)

    driver.run.note(driver.run.head_seq + 1, late)

    assert driver.run.request_ids == {"late"}
