"""What workflow code can ask of its run, on the real replayer; outside of workflows each is a typed error."""

import asyncio
import logging
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from perdure import activity, workflow
from perdure.common import RawValue
from perdure.exceptions import ApplicationError, DurationError, NotInWorkflowError
from perdure_history.events import TimerCanceled, TimerStarted, WorkflowExecutionCanceled
from perdure_replayer.errors import QueryFailedError
from tests.sdk.play import Play


@activity.defn
async def echo(value: int) -> int:
    return value


def test_info_tells_the_run():
    seen: list[workflow.Info] = []

    @workflow.defn
    async def flow() -> int:
        seen.append(workflow.info())
        await echo(1)
        return workflow.info().get_current_history_length()

    length = Play(flow).finish()

    info = seen[0]
    assert (info.workflow_id, info.run_id, info.workflow_type) == ("order-1", "run-1", "flow")
    assert (info.namespace, info.task_queue, info.attempt) == ("default", "main", 1)
    assert info.start_time == datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)
    assert info.first_execution_run_id == "run-1"
    assert info.parent is None
    assert length > 1


def test_time_and_chance_are_the_runs_own():
    @workflow.defn
    async def flow() -> list[Any]:
        before = workflow.now()
        drawn = [workflow.random().random(), str(workflow.uuid4()), str(workflow.uuid7())]
        drawn.append(workflow.new_random().random())
        await workflow.sleep("1h")
        assert workflow.now() - before >= timedelta(hours=1)
        assert workflow.time_ns() == int(workflow.now().timestamp()) * 1_000_000_000
        assert workflow.time() == workflow.now().timestamp()
        return drawn

    first, second = Play(flow).finish(), Play(flow).finish()

    assert first == second
    assert uuid.UUID(first[1]).version == 4
    assert uuid.UUID(first[2]).version == 7


def test_a_sleep_is_a_timer_with_its_summary():
    @workflow.defn
    async def flow() -> None:
        await workflow.sleep(timedelta(minutes=1), summary="cool down")
        await workflow.sleep(0)

    play = Play(flow)
    play.finish()

    [timer] = play.recorded(TimerStarted)
    assert timer.delay_us == 60_000_000
    assert timer.summary == "cool down"


def test_a_sleep_that_makes_no_sense_is_refused():
    @workflow.defn
    async def flow() -> None:
        with pytest.raises(DurationError):
            await workflow.sleep(-1)

    Play(flow).finish()


@workflow.defn
class Approval:
    def __init__(self) -> None:
        self.approved_by: str | None = None
        self.log: list[str] = []

    @workflow.run
    async def run(self, patience: float) -> str:
        try:
            await workflow.wait_condition(
                lambda: self.approved_by is not None, timeout=patience, timeout_summary="patience"
            )
        except TimeoutError:
            return "nobody"
        assert workflow.instance() is self
        await workflow.wait_condition(workflow.all_handlers_finished)
        return self.approved_by or ""

    @workflow.signal
    async def approve(self, name: str) -> None:
        await echo(1)
        self.approved_by = name

    @workflow.signal(dynamic=True)
    def other(self, name: str, args: Sequence[RawValue]) -> None:
        self.log.append(f"{name} {workflow.payload_converter().from_payload(args[0].payload, int)}")

    @workflow.query
    def who(self) -> str | None:
        return self.approved_by

    @workflow.query
    def logged(self) -> list[str]:
        return self.log

    @workflow.query
    def meddle(self) -> None:
        workflow.start_activity(echo, 1)

    @workflow.query(dynamic=True)
    def unknown(self, name: str, args: Sequence[RawValue]) -> str:
        assert workflow.unsafe.is_read_only()
        return f"{name}?{len(args)}"


def test_a_condition_ends_the_wait_and_cancels_the_timer():
    play = Play(Approval, 60)

    play.signal("approve", "ann")
    assert play.query("who") is None
    result = play.finish()

    assert result == "ann"
    assert play.recorded(TimerStarted)[0].summary == "patience"
    assert len(play.recorded(TimerCanceled)) == 1


def test_a_condition_that_stays_false_times_out():
    play = Play(Approval, 60)

    play.fire()

    assert play.finish() == "nobody"
    assert play.recorded(TimerCanceled) == []


def test_signals_and_queries_without_a_handler_go_to_the_dynamic_one():
    play = Play(Approval, 60)

    play.signal("whatever", 7)

    assert play.query("logged") == ["whatever 7"]
    assert play.query("anything", 1, 2) == "anything?2"


def test_a_query_cannot_change_the_run():
    play = Play(Approval, 60)

    with pytest.raises(QueryFailedError, match="cannot schedule an activity"):
        play.query("meddle")

    assert play.finish() == "nobody"


def test_handlers_set_at_run_time_get_what_waited_for_them():
    @workflow.defn
    async def flow() -> list[Any]:
        got: list[Any] = []
        await workflow.sleep(1)
        assert workflow.get_signal_handler("late") is None

        async def late(value: int) -> None:
            got.append(value)

        def answer(name: str, args: Sequence[RawValue]) -> list[Any]:
            return [name, *got]

        workflow.set_signal_handler("late", late)
        workflow.set_dynamic_query_handler(answer)
        workflow.set_query_handler("count", lambda: len(got))
        assert workflow.get_signal_handler("late") is late
        assert workflow.get_dynamic_query_handler() is answer
        await workflow.wait_condition(lambda: len(got) == 2)
        workflow.set_signal_handler("late", None)
        assert workflow.get_signal_handler("late") is None
        assert workflow.get_dynamic_signal_handler() is None
        await workflow.sleep(1)
        return got

    play = Play(flow)
    play.signal("late", 1)
    play.signal("late", 2)
    play.fire()

    assert play.query("count") == 2
    assert play.query("other") == ["other", 1, 2]
    assert play.finish() == [1, 2]


def test_handlers_of_a_class_are_given_out_bound():
    @workflow.defn
    class Named:
        def __init__(self) -> None:
            self.name = "x"

        @workflow.run
        async def run(self) -> str:
            found = workflow.get_query_handler("current")
            assert found is not None
            assert workflow.get_dynamic_query_handler() is None
            workflow.set_dynamic_signal_handler(lambda name, args: None)
            return str(found())

        @workflow.query
        def current(self) -> str:
            return self.name

    assert Play(Named).finish() == "x"


def test_results_come_as_they_complete():
    @workflow.defn
    async def flow() -> list[int]:
        waits = [delayed(3), delayed(1), delayed(2)]
        return [await one for one in workflow.as_completed(waits)]

    async def delayed(seconds: int) -> int:
        await workflow.sleep(seconds)
        return seconds

    assert Play(flow).finish() == [1, 2, 3]


def test_as_completed_gives_up_after_its_timeout():
    @workflow.defn
    async def flow() -> list[Any]:
        got: list[Any] = []
        slow = asyncio.create_task(workflow.sleep(60))
        for one in workflow.as_completed([echo(1), slow], timeout=5):
            try:
                got.append(await one)
            except TimeoutError:
                got.append("late")
        slow.cancel()
        return got

    assert Play(flow).finish() == [1, "late"]


def test_wait_gives_lists_in_the_order_asked():
    @workflow.defn
    async def flow() -> list[Any]:
        handles = [workflow.start_activity(echo, number) for number in range(4)]
        slow = asyncio.ensure_future(workflow.sleep(60))
        done, pending = await workflow.wait([*handles, slow], timeout="10s")
        assert pending == [slow]
        slow.cancel()
        return [one.result() for one in done]

    assert Play(flow).finish() == [0, 1, 2, 3]


def test_the_reason_of_a_cancellation_is_there_to_read():
    seen: list[Any] = []

    @workflow.defn
    async def flow() -> None:
        seen.append(workflow.cancellation_reason())
        try:
            await workflow.sleep("1h")
        finally:
            seen.append(workflow.cancellation_reason())

    play = Play(flow)
    play.cancel("enough")

    assert seen == [None, "enough"]
    assert play.recorded(WorkflowExecutionCanceled)


def test_a_failure_fails_the_run_with_its_details():
    @workflow.defn
    async def flow() -> None:
        raise ApplicationError("sold out", {"sku": "a"}, type="SoldOut", non_retryable=True)

    with pytest.raises(ApplicationError) as caught:
        Play(flow).finish()

    assert caught.value.type == "SoldOut"
    assert caught.value.details == ({"sku": "a"},)
    assert caught.value.non_retryable


def test_the_logger_speaks_once_and_knows_the_run(caplog: pytest.LogCaptureFixture):
    @workflow.defn
    async def flow() -> None:
        workflow.logger.info("before")
        await echo(1)
        workflow.logger.info("after", extra={"mine": 1})

    with caplog.at_level(logging.INFO):
        Play(flow).finish()

    assert [record.message.partition(" ")[0] for record in caplog.records] == ["before", "after"]
    assert "'workflow_id': 'order-1'" in caplog.records[0].message
    assert caplog.records[1].__dict__["perdure_workflow"]["run_id"] == "run-1"
    assert caplog.records[1].__dict__["mine"] == 1


def test_the_logger_may_be_told_to_speak_on_replay(caplog: pytest.LogCaptureFixture):
    logger = workflow.LoggerAdapter(logging.getLogger("test"), None)
    logger.log_during_replay = True
    logger.workflow_info_on_message = False
    logger.full_workflow_info_on_extra = True

    @workflow.defn
    async def flow() -> None:
        logger.info("said")

    with caplog.at_level(logging.INFO):
        Play(flow).finish()

    assert [record.message for record in caplog.records] == ["said", "said"]
    assert isinstance(caplog.records[0].__dict__["workflow_info"], workflow.Info)


def test_the_logger_works_outside_of_workflows(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO):
        workflow.logger.info("plain")

    assert caplog.records[0].message == "plain"
    assert workflow.logger.base_logger.name == "perdure.workflow"


@pytest.mark.parametrize(
    "ask",
    [
        workflow.info,
        workflow.now,
        workflow.time,
        workflow.time_ns,
        workflow.random,
        workflow.new_random,
        workflow.uuid4,
        workflow.uuid7,
        workflow.instance,
        workflow.cancellation_reason,
        workflow.payload_converter,
        workflow.all_handlers_finished,
        workflow.get_dynamic_signal_handler,
        workflow.unsafe.is_replaying,
        workflow.unsafe.is_read_only,
        lambda: workflow.set_signal_handler("x", None),
        lambda: workflow.start_activity(echo, 1),
        lambda: workflow.as_completed([]),
    ],
)
def test_outside_of_workflows_each_question_is_a_typed_error(ask: Callable[[], object]):
    with pytest.raises(NotInWorkflowError, match=r"^workflow\..+ works only in workflow code"):
        ask()


async def test_outside_of_workflows_each_wait_is_a_typed_error():
    for wait in (workflow.sleep(1), workflow.wait_condition(lambda: True), workflow.wait([])):
        with pytest.raises(NotInWorkflowError):
            await wait
    with pytest.raises(NotInWorkflowError):
        await workflow.execute_activity(echo, 1)
    assert not workflow.in_workflow()


def test_imports_may_be_wrapped_as_in_temporal():
    with workflow.unsafe.imports_passed_through():
        import json  # noqa: F401, PLC0415

    seen: list[bool] = []

    @workflow.defn
    async def flow() -> None:
        with workflow.unsafe.sandbox_unrestricted():
            assert workflow.in_workflow()
        seen.append(workflow.unsafe.is_replaying())

    Play(flow).finish()

    assert seen == [False, True]
    with pytest.raises(NotImplementedError):
        workflow.unsafe()
