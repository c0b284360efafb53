"""asyncio's wait, as_completed, wait_for and gather, the same in every process and on every supported Python."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Iterable, Iterator
from typing import Any, TypeVar

from perdure.durations import Duration, to_microseconds
from perdure.workflow._access import current

_stock_gather = asyncio.gather

T = TypeVar("T")
FutureType = TypeVar("FutureType", bound="asyncio.Future[Any]")


async def wait(
    fs: Iterable[FutureType], *, timeout: Duration | None = None, return_when: str = asyncio.ALL_COMPLETED
) -> tuple[list[FutureType], list[FutureType]]:
    """As asyncio.wait, with lists in the order of `fs` instead of sets: (done, pending)."""
    current("wait()")
    futures = list(dict.fromkeys(fs))
    seconds = None if timeout is None else to_microseconds(timeout, "timeout") / 1_000_000
    done, _ = await asyncio.wait(futures, timeout=seconds, return_when=return_when)
    return [one for one in futures if one in done], [one for one in futures if one not in done]


def as_completed(fs: Iterable[Awaitable[T]], *, timeout: Duration | None = None) -> Iterator[Awaitable[T]]:
    """As asyncio.as_completed: awaitables that give results in the order in which they came.

    Coroutines become tasks in the order of `fs`. asyncio.TimeoutError after `timeout`.
    """
    current("as_completed()")
    return in_order_of_completion(
        fs, None if timeout is None else to_microseconds(timeout, "timeout") / 1_000_000
    )


def in_order_of_completion(fs: Iterable[Awaitable[T]], seconds: float | None) -> Iterator[Awaitable[T]]:
    """What `as_completed` gives; its tasks and its timer start here, and not with the first step of the iterator."""
    loop = asyncio.get_running_loop()
    futures = [asyncio.ensure_future(one) for one in dict.fromkeys(fs)]
    done: deque[asyncio.Future[T] | None] = deque()
    waiters: deque[asyncio.Future[None]] = deque()
    state = {"open": len(futures)}

    def wake() -> None:
        while waiters:
            waiter = waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def finish(future: "asyncio.Future[T]") -> None:
        state["open"] -= 1
        done.append(future)
        if timer is not None and not state["open"]:
            timer.cancel()
        wake()

    def expire() -> None:
        for future in futures:
            future.remove_done_callback(finish)
        done.extend(None for _ in range(state["open"]))
        for _ in range(state["open"]):
            wake()

    async def next_result() -> T:
        if not done:
            waiter: asyncio.Future[None] = loop.create_future()
            waiters.append(waiter)
            await waiter
        future = done.popleft()
        if future is None:
            raise TimeoutError
        return future.result()

    timer = loop.call_later(seconds, expire) if seconds is not None and futures else None
    for future in futures:
        future.add_done_callback(finish)
    return (next_result() for _ in range(len(futures)))


async def wait_for(fut: Awaitable[T], timeout: float | None) -> T:
    """What stands in for asyncio.wait_for in workflow code: as that of Python 3.12, in seconds.

    Python 3.11 waits for a task around `fut`, which wakes the caller one pass of the loop later; beside other
    tasks that is another order of commands. TimeoutError after `timeout`; without waiting when it is not above 0.
    """
    if timeout is None or timeout > 0:
        async with asyncio.timeout(timeout):
            return await fut
    future = asyncio.ensure_future(fut)
    if future.done():
        return future.result()
    await _cancel_and_wait(future)
    try:
        return future.result()
    except asyncio.CancelledError as error:
        raise TimeoutError from error


async def _cancel_and_wait(future: "asyncio.Future[Any]") -> None:
    waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def release(_: "asyncio.Future[Any]") -> None:
        if not waiter.done():
            waiter.set_result(None)

    future.add_done_callback(release)
    try:
        future.cancel()
        # Not the future itself: when the caller is cancelled meanwhile, that is not the future's cancellation.
        await waiter
    finally:
        future.remove_done_callback(release)


def gather(*coros_or_futures: Awaitable[Any], return_exceptions: bool = False) -> "asyncio.Future[list[Any]]":
    """What stands in for asyncio.gather in workflow code: as that of Python 3.12.

    What is done already counts at once. Python 3.11 lets it count one pass of the loop later, and then wakes the
    caller another pass later even when all was done.
    """
    future_of = {one: asyncio.ensure_future(one) for one in dict.fromkeys(coros_or_futures)}
    errors = {one: _error_of(one) for one in future_of.values() if one.done()}
    failures = [] if return_exceptions else [error for error in errors.values() if error is not None]
    futures = [future_of[one] for one in coros_or_futures]
    if not futures or (len(errors) < len(future_of) and not failures):
        return _stock_gather(*futures, return_exceptions=return_exceptions)
    # Not the loop's create_future: the stock one takes no creation number either.
    outer: asyncio.Future[list[Any]] = asyncio.Future(loop=asyncio.get_running_loop())
    if not failures:
        outer.set_result([one.result() if errors[one] is None else errors[one] for one in futures])
        return outer
    outer.set_exception(failures[0])
    for one in future_of.values():
        # Nobody else will ask for their errors, and asyncio would report them as never retrieved.
        one.add_done_callback(_error_of)
    return outer


def _error_of(future: "asyncio.Future[Any]") -> BaseException | None:
    try:
        return future.exception()
    except asyncio.CancelledError as error:
        return error
