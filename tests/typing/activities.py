"""Types that a checker must infer for activities and workflows, and mistakes that it must find.

Read by type checkers only. A line that must be an error ends in a `pyright: ignore` of its rule; when the rule does
not fire, the ignore itself is reported.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import assert_type

from perdure import activity, workflow
from perdure.common import RetryPolicy


@activity.defn
async def charge(order: str, amount: int = 1) -> float:
    return amount * 1.5


@activity.defn(name="ship-it", retry_policy=RetryPolicy("1s"), start_to_close_timeout="30s")
def ship(order: str) -> bytes:
    return order.encode()


@activity.defn
async def ping() -> None: ...


@activity.defn
async def three(a: int, b: str, c: bytes) -> list[int]:
    return [a]


class Billing:
    @activity.defn
    async def bill(self, amount: int) -> int:
        return amount


@workflow.defn
async def flow(order: str) -> float:
    assert_type(await charge(order), float)
    assert_type(await charge(order, amount=2), float)
    assert_type(await workflow.execute_activity(ping), None)
    assert_type(await workflow.execute_activity(ship, order), bytes)
    assert_type(await workflow.execute_activity(ship, order, start_to_close_timeout="5s"), bytes)
    assert_type(await workflow.execute_activity(three, 1, "b", b"c"), list[int])
    assert_type(await workflow.execute_activity(three, args=[1, "b", b"c"]), list[int])
    assert_type(await workflow.execute_activity("three", 1, "b", result_type=str), str)
    assert_type(workflow.start_activity(ship, order), "asyncio.Future[bytes]")
    assert_type(await workflow.execute_activity_method(Billing.bill, 5), int)
    assert_type(await workflow.execute_activity(Billing().bill, 5), int)
    handles: list[workflow.ActivityHandle[bytes]] = [workflow.start_activity(ship, one) for one in "ab"]
    assert_type(await asyncio.gather(*handles), list[bytes])
    done, pending = await workflow.wait(handles)
    assert_type(done, "list[asyncio.Future[bytes]]")
    assert_type(pending, "list[asyncio.Future[bytes]]")
    for one in workflow.as_completed(handles):
        assert_type(await one, bytes)
    return await charge(order)


@workflow.defn(name="greeter")
class Greeter:
    @workflow.init
    def __init__(self, name: str) -> None:
        self.name = name

    @workflow.run
    async def run(self, name: str) -> int:
        await workflow.wait_condition(lambda: bool(self.name), timeout="1h")
        return len(self.name)

    @workflow.signal
    def rename(self, name: str) -> None:
        self.name = name

    @workflow.query(name="current")
    def current_name(self) -> str:
        return self.name


def decorators_keep_types() -> None:
    check: Callable[[str], Awaitable[float]] = flow
    also: Callable[[str, int], Awaitable[float]] = charge
    assert_type(Greeter("x").current_name(), str)
    assert_type(Greeter("x").rename("y"), None)
    assert_type(ship("x"), bytes)
    del check, also


async def mistakes() -> None:
    await charge(5)  # pyright: ignore[reportArgumentType]
    await charge("a", amont=2)  # pyright: ignore[reportCallIssue]
    await workflow.execute_activity(ship, "a", start_to_close=5)  # pyright: ignore[reportCallIssue]
    await workflow.execute_activity(ship, 5)  # pyright: ignore[reportCallIssue, reportArgumentType]
    await workflow.execute_activity(ping, 5)  # pyright: ignore[reportCallIssue, reportArgumentType]
    RetryPolicy(maximum_attempts="3")  # pyright: ignore[reportArgumentType]


@workflow.defn  # pyright: ignore[reportArgumentType, reportUntypedFunctionDecorator]
def not_async(order: str) -> None: ...
