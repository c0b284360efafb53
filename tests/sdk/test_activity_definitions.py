"""What @activity.defn makes of functions and methods, and what it refuses."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from perdure import activity
from perdure.common import RetryPolicy
from perdure.definitions import activity_definition, activity_name
from perdure.exceptions import DefinitionError, InvalidOptionError, NotDefinedError
from perdure_history.events import RetryPolicyRecord


@activity.defn
async def charge(order: str, amount: int = 1) -> int:
    """Take the money."""
    return amount


@activity.defn(
    name="ship-it",
    retry_policy=RetryPolicy(maximum_attempts=3),
    start_to_close_timeout="30s",
    task_queue="docks",
)
def ship(order: str) -> str:
    return order


class Billing:
    def __init__(self, rate: int) -> None:
        self.rate = rate

    @activity.defn
    async def bill(self, amount: int) -> int:
        return amount * self.rate

    @staticmethod
    @activity.defn
    def tax(amount: int) -> int:
        return amount // 5


def test_an_activity_knows_its_name_types_and_kind():
    definition = activity_definition(charge)

    assert definition.name == "charge"
    assert definition.is_async
    assert definition.arg_types == (str, int)
    assert definition.return_type is int
    assert not definition.needs_self


def test_defaults_of_the_decorator_are_kept():
    definition = activity_definition(ship)

    assert definition.name == "ship-it"
    assert not definition.is_async
    assert definition.options.start_to_close_timeout_us == 30_000_000
    assert definition.options.retry_policy == RetryPolicyRecord(maximum_attempts=3)
    assert definition.options.task_queue == "docks"


async def test_outside_of_workflows_an_activity_is_the_plain_function():
    assert await charge("o", amount=5) == 5
    assert ship("o") == "o"
    assert await Billing(2).bill(4) == 8
    assert Billing.tax(10) == 2
    assert charge.__doc__ == "Take the money."
    assert inspect.iscoroutinefunction(charge)
    assert not inspect.iscoroutinefunction(ship)


async def test_a_bound_method_is_an_activity_of_its_object():
    definition = activity_definition(Billing(3).bill)

    assert definition.name == "bill"
    assert definition.arg_types == (int,)
    assert not definition.needs_self
    assert await definition.function(5) == 15
    assert activity_definition(Billing.bill).needs_self


def test_missing_annotations_leave_the_types_open():
    @activity.defn
    def loose(a, b: int):  # type: ignore[no-untyped-def]  # that is the point
        return a

    @activity.defn
    def many(*parts: int) -> int:
        return len(parts)

    assert activity_definition(loose).arg_types is None
    assert activity_definition(loose).return_type is Any
    assert activity_definition(many).arg_types is None
    assert activity_definition(many).return_type is int


def keyword_only(*, order: str) -> None: ...
def keywords(**order: str) -> None: ...
async def generated() -> Any:
    yield 1


class Callable_:  # noqa: N801
    def __call__(self) -> None: ...


@pytest.mark.parametrize(
    ("target", "why"),
    [
        (keyword_only, "'order' is keyword-only"),
        (keywords, "'order' is variadic keyword"),
        (generated, "generator"),
        (lambda: None, "lambda has no name"),
        (charge, "activity already"),
        (Billing, "it is a class"),
        (Callable_(), "it is a Callable_"),
        (staticmethod(keywords), "below @staticmethod"),
        (Billing(1).bill, "it is a method"),
    ],
)
def test_what_cannot_be_recorded_is_refused_at_decoration(target: Callable[..., Any], why: str):
    with pytest.raises(DefinitionError, match=why):
        activity.defn(target)


@pytest.mark.parametrize(
    "options",
    [
        {"start_to_close_timeout": "soon"},
        {"heartbeat_timeout": 0},
        {"schedule_to_start_timeout": -1},
        {"schedule_to_close_timeout": float("nan")},
        {"retry_policy": {"maximum_attempts": 1}},
        {"task_queue": "a\0b"},
        {"task_queue": 5},
        {"name": ""},
        {"name": "\ud800"},
        {"name": "x" * 1001},
    ],
)
def test_an_option_that_makes_no_sense_is_named(options: dict[str, Any]):
    with pytest.raises(InvalidOptionError) as caught:
        activity.defn(**options)

    assert caught.value.option in options


def undecorated() -> None: ...


@pytest.mark.parametrize(
    ("target", "why"),
    [
        (undecorated, "not decorated with @activity.defn"),
        (5, "pass what was decorated"),
        (Billing, "not decorated"),
    ],
)
def test_what_is_no_activity_is_told_so(target: object, why: str):
    with pytest.raises(NotDefinedError, match=why) as caught:
        activity_definition(target)

    assert caught.value.kind == "activity"


def test_a_name_is_its_own_name():
    assert activity_name("anything") == "anything"
    assert activity_name(ship) == "ship-it"
