"""What activity code can ask while it runs, from its loop and from threads; setting it up is nearly free."""

import asyncio
import contextvars
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from perdure import activity
from perdure._activity_context import ActivityContext, Occasion, current
from perdure.activity import ActivityCancellationDetails, Info
from perdure.common import Priority
from perdure.converter import PayloadConverter
from perdure.exceptions import NotInActivityError

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
CONVERTER = PayloadConverter()
TIMEOUT = 10
CANCELLED = ActivityCancellationDetails(cancel_requested=True)


def make_info() -> Info:
    return Info(
        activity_id="1",
        activity_type="charge",
        attempt=2,
        current_attempt_scheduled_time=MOMENT,
        heartbeat_details=["page 7"],
        heartbeat_timeout=None,
        is_local=True,
        namespace="default",
        schedule_to_close_timeout=None,
        scheduled_time=MOMENT,
        start_to_close_timeout=timedelta(seconds=30),
        started_time=MOMENT,
        task_queue="main",
        task_token=b"",
        workflow_id="order-1",
        workflow_namespace="default",
        workflow_run_id="run-1",
        workflow_type="flow",
        priority=Priority.default,
        retry_policy=None,
        scheduled_seq=5,
    )


@contextmanager
def running(**parts: Any) -> Iterator[ActivityContext]:
    beats: list[tuple[Any, ...]] = parts.pop("beats", [])
    context = ActivityContext(
        parts.pop("make_info", make_info),
        lambda *details: beats.append(details),
        shutdown=parts.pop("shutdown", Occasion()),
        payload_converter=CONVERTER,
        **parts,
    )
    token = current.set(context)
    try:
        yield context
    finally:
        current.reset(token)


def test_info_is_made_once_and_only_when_asked():
    made: list[Info] = []

    def make() -> Info:
        made.append(make_info())
        return made[-1]

    with running(make_info=make):
        assert made == []
        assert activity.info() is activity.info()

    assert len(made) == 1


def test_the_idempotency_key_is_that_of_the_scheduled_event():
    assert make_info().idempotency_key == "run-1:5"
    assert make_info().in_workflow


def test_heartbeats_go_to_the_worker():
    beats: list[tuple[Any, ...]] = []
    with running(beats=beats):
        activity.heartbeat()
        activity.heartbeat("page", 8)

    assert beats == [(), ("page", 8)]


async def test_a_cancellation_is_seen_by_whoever_asks_or_waits():
    with running() as context:
        before = (activity.is_cancelled(), activity.cancellation_details())
        waiting = asyncio.create_task(activity.wait_for_cancelled())
        await asyncio.sleep(0)

        context.cancel(CANCELLED)
        context.cancel(ActivityCancellationDetails(timed_out=True))
        await asyncio.wait_for(waiting, TIMEOUT)
        await asyncio.wait_for(activity.wait_for_cancelled(), TIMEOUT)

        assert before == (False, None)
        assert activity.is_cancelled()
        assert activity.cancellation_details() == CANCELLED


def test_a_thread_waits_for_a_cancellation():
    with running() as context:
        began, ended = threading.Event(), threading.Event()

        def wait() -> None:
            began.set()
            activity.wait_for_cancelled_sync()
            ended.set()

        thread = threading.Thread(target=contextvars.copy_context().run, args=(wait,), daemon=True)
        thread.start()
        assert began.wait(TIMEOUT)
        context.cancel(CANCELLED)

        assert ended.wait(TIMEOUT)
        thread.join(TIMEOUT)


def test_a_thread_waits_no_longer_than_its_timeout():
    with running() as context:
        activity.wait_for_cancelled_sync(0)
        activity.wait_for_worker_shutdown_sync(timedelta(0))

        assert not activity.is_cancelled()
        assert context.cancelled._waiters == []  # pyright: ignore[reportPrivateUsage]  nobody is left behind


async def test_a_wait_that_is_cancelled_leaves_nothing_behind():
    occasion = Occasion()
    waiting = asyncio.create_task(occasion.wait())
    await asyncio.sleep(0)

    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    occasion.set()

    assert occasion._waiters == []  # pyright: ignore[reportPrivateUsage]


def test_a_loop_that_was_closed_is_no_trouble_for_others():
    occasion = Occasion()
    loop = asyncio.new_event_loop()
    task = loop.create_task(occasion.wait())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()

    occasion.set()

    assert occasion.is_set()
    assert occasion.wait_in_thread(0)
    task._log_destroy_pending = False  # type: ignore[attr-defined]  # its loop is gone on purpose
    with pytest.raises(RuntimeError):
        task.get_coro().throw(RuntimeError)  # type: ignore[union-attr]


async def test_a_shutdown_is_shared_by_all_attempts():
    shutdown = Occasion()
    with running(shutdown=shutdown):
        assert not activity.is_worker_shutdown()
        shutdown.set()
        assert activity.is_worker_shutdown()
        await asyncio.wait_for(activity.wait_for_worker_shutdown(), TIMEOUT)
        activity.wait_for_worker_shutdown_sync()


def test_a_shield_is_the_workers():
    entered: list[str] = []

    @contextmanager
    def shield() -> Iterator[None]:
        entered.append("in")
        yield
        entered.append("out")

    with running(shield=shield), activity.shield_thread_cancel_exception():
        entered.append("body")
    with running(), activity.shield_thread_cancel_exception():
        entered.append("bare")

    assert entered == ["in", "body", "out", "bare"]


def test_client_and_converter_are_the_workers():
    client = object()
    with running(client=client):
        assert activity.client() is client
        assert activity.payload_converter() is CONVERTER
    with running(), pytest.raises(NotInActivityError):
        activity.client()


def test_the_logger_knows_the_activity(caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.INFO), running():
        activity.logger.info("working")
    with caplog.at_level(logging.INFO):
        activity.logger.info("outside")

    inside, outside = caplog.records
    assert "'activity_type': 'charge'" in inside.message
    assert inside.__dict__["perdure_activity"]["workflow_run_id"] == "run-1"
    assert outside.message == "outside"
    assert activity.logger.base_logger.name == "perdure.activity"


def test_the_logger_may_carry_everything(caplog: pytest.LogCaptureFixture):
    logger = activity.LoggerAdapter(logging.getLogger("test"), None)
    logger.activity_info_on_message = False
    logger.full_activity_info_on_extra = True
    with caplog.at_level(logging.INFO), running():
        logger.info("working")

    assert caplog.records[0].message == "working"
    assert caplog.records[0].__dict__["activity_info"] == make_info()


@pytest.mark.parametrize(
    "ask",
    [
        activity.info,
        activity.heartbeat,
        activity.is_cancelled,
        activity.cancellation_details,
        activity.is_worker_shutdown,
        activity.wait_for_cancelled_sync,
        activity.wait_for_worker_shutdown_sync,
        activity.payload_converter,
        activity.client,
    ],
)
def test_outside_of_activities_each_question_is_a_typed_error(ask: Callable[[], object]):
    assert not activity.in_activity()
    with pytest.raises(
        NotInActivityError, match=rf"^activity\.{ask.__name__}\(\) works only in activity code"
    ):
        ask()
