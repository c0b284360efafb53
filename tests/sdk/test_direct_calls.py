"""`await charge(order)` in workflow code schedules the activity; the same call elsewhere is the function."""

import asyncio
from typing import Any

import pytest

from perdure import activity, workflow
from perdure.exceptions import ActivityError, ApplicationError, ArgumentError, EncodingError
from perdure_history.events import ActivityTaskScheduled
from perdure_replayer.commands import ActivityOptions
from tests.sdk.play import CONVERTER, Play


@activity.defn(start_to_close_timeout="30s", task_queue="main")
async def charge(order: str, amount: int = 1, currency: str = "EUR") -> str:
    if amount < 0:
        raise ApplicationError("negative", type="Negative")
    return f"{order}:{amount}{currency}"


@activity.defn
def ship(order: str) -> str:
    return f"shipped {order}"


class Billing:
    def __init__(self, rate: int) -> None:
        self.rate = rate

    @activity.defn
    async def bill(self, amount: int) -> int:
        return amount * self.rate


def arguments_of(scheduled: ActivityTaskScheduled) -> list[Any]:
    return CONVERTER.payload_converter.from_payloads(scheduled.input)


def test_a_direct_call_schedules_with_the_decorators_defaults():
    @workflow.defn
    async def flow(order: str) -> str:
        return await charge(order)

    play = Play(flow, "o1")

    assert play.finish() == "o1:1EUR"
    [scheduled] = play.recorded(ActivityTaskScheduled)
    assert scheduled.activity_type == "charge"
    assert scheduled.start_to_close_timeout_us == 30_000_000
    assert scheduled.task_queue == "main"
    assert arguments_of(scheduled) == ["o1"]


def test_keyword_arguments_are_recorded_by_position():
    @workflow.defn
    async def flow() -> list[str]:
        return [await charge(order="a"), await charge("b", currency="USD"), await charge(amount=5, order="c")]

    play = Play(flow)

    assert play.finish() == ["a:1EUR", "b:1USD", "c:5EUR"]
    assert [arguments_of(one) for one in play.recorded(ActivityTaskScheduled)] == [
        ["a"],
        ["b", 1, "USD"],
        ["c", 5],
    ]


def test_a_sync_activity_is_awaited_as_well():
    @workflow.defn
    async def flow() -> str:
        return await ship("x")  # type: ignore[misc]  # type checkers see the plain function

    assert Play(flow).finish() == "shipped x"


def test_direct_calls_run_side_by_side():
    @workflow.defn
    async def flow() -> list[str]:
        return await asyncio.gather(charge("a"), charge("b"), charge("c"))

    play = Play(flow)

    assert len(play.run.activities) == 3
    assert play.finish() == ["a:1EUR", "b:1EUR", "c:1EUR"]


def test_a_bound_method_is_called_without_its_object_being_recorded():
    billing = Billing(3)

    @workflow.defn
    async def flow() -> int:
        return await billing.bill(5)

    play = Play(flow)

    assert play.finish() == 15
    assert arguments_of(play.recorded(ActivityTaskScheduled)[0]) == [5]


def test_a_method_named_through_its_class_is_found_by_the_worker():
    @workflow.defn
    async def flow() -> list[int]:
        return [
            await workflow.execute_activity_method(Billing.bill, 5),
            await workflow.start_activity_method(Billing.bill, args=[6]),
            await workflow.execute_activity(Billing.bill, args=[7]),
        ]

    assert Play(flow, registry=(Billing(2).bill,)).finish() == [10, 12, 14]


@pytest.mark.parametrize(
    ("args", "kwargs", "why"),
    [
        ((), {}, "missing a required argument: 'order'"),
        (("a", 1, "EUR", 4), {}, "too many positional arguments"),
        (("a",), {"oder": 1}, "unexpected keyword argument 'oder'"),
        (("a",), {"order": "b"}, "multiple values for argument 'order'"),
    ],
)
def test_a_call_that_does_not_fit_is_refused_before_anything_is_written(args, kwargs, why):
    caught: list[ArgumentError] = []

    @workflow.defn
    async def flow() -> None:
        try:
            await charge(*args, **kwargs)
        except ArgumentError as error:
            caught.append(error)

    play = Play(flow)

    assert play.run.closed
    assert not play.recorded(ActivityTaskScheduled)
    assert why in caught[0].why
    assert str(caught[0]).startswith(
        "charge(order: str, amount: int = 1, currency: str = 'EUR') -> str cannot be"
    )


def test_an_argument_that_cannot_be_encoded_is_named():
    caught: list[EncodingError] = []

    @workflow.defn
    async def flow() -> None:
        for call in (
            lambda: charge("a", {"x": float("nan")}),
            lambda: workflow.execute_activity("other", object()),
        ):
            try:
                await call()
            except EncodingError as error:
                caught.append(error)

    play = Play(flow)

    assert not play.recorded(ActivityTaskScheduled)
    assert [error.path for error in caught] == ["amount.x", "argument 1"]
    assert "of activity 'charge'" in str(caught[0])


def test_keywords_of_a_call_override_the_decorator():
    @workflow.defn
    async def flow() -> None:
        await workflow.execute_activity(
            charge,
            "a",
            start_to_close_timeout=5,
            heartbeat_timeout="2s",
            activity_id="mine",
            summary="Take the money",
            cancellation_type=workflow.ActivityCancellationType.ABANDON,
        )

    play = Play(flow)

    [scheduled] = play.recorded(ActivityTaskScheduled)
    assert scheduled.start_to_close_timeout_us == 5_000_000
    assert scheduled.heartbeat_timeout_us == 2_000_000
    assert scheduled.task_queue == "main"
    assert scheduled.activity_id == "mine"
    assert scheduled.summary == "Take the money"


@pytest.mark.parametrize(
    "schedule",
    [
        lambda: workflow.start_activity(charge, "a"),
        lambda: workflow.start_activity(charge, arg="a"),
        lambda: workflow.start_activity(charge, "a", 1),
        lambda: workflow.start_activity(charge, args=["a", 1, "EUR"]),
        lambda: workflow.start_activity("charge", "a", result_type=str),
        lambda: workflow.start_activity("charge", args=["a", 1]),
    ],
)
def test_each_way_to_pass_arguments_works(schedule):
    @workflow.defn
    async def flow() -> str:
        return await schedule()

    assert Play(flow, registry=(charge,)).finish() == "a:1EUR"


def test_arguments_are_given_in_one_way_only():
    @workflow.defn
    async def flow() -> None:
        await workflow.execute_activity(charge, "a", args=["b"])  # type: ignore[call-overload]  # that is the point

    with pytest.raises(ApplicationError, match="both arg and args"):
        Play(flow).finish()


def test_an_option_that_does_not_exist_is_refused_with_the_close_one():
    @workflow.defn
    async def flow() -> None:
        await workflow.execute_activity(charge, "a", start_to_close=5)  # type: ignore[call-overload]  # the point

    with pytest.raises(ApplicationError, match="'start_to_close'; did you mean 'start_to_close_timeout'"):
        Play(flow).finish()


def test_options_that_do_not_hash_are_refused_like_others():
    @workflow.defn
    async def flow() -> None:
        await workflow.execute_activity(charge, "a", retry_policy={})  # type: ignore[call-overload]  # the point

    with pytest.raises(ApplicationError, match=r"must be a perdure\.common\.RetryPolicy"):
        Play(flow).finish()


def test_a_failed_activity_raises_with_its_cause():
    @workflow.defn
    async def flow() -> str:
        try:
            return await charge("a", -1)
        except ActivityError as error:
            assert isinstance(error.cause, ApplicationError)
            return f"{error.activity_type} {error.cause.type} {error.retry_state}"

    assert Play(flow).finish() == "charge Negative 4"


def test_options_of_the_decorator_are_shared_when_nothing_overrides_them():
    @activity.defn
    async def plain() -> None: ...

    @workflow.defn
    async def flow() -> None:
        await plain()

    [pending] = Play(flow).run.activities.values()
    assert pending.scheduled.start_to_close_timeout_us is None
    assert ActivityOptions().retry_policy == pending.scheduled.retry_policy
