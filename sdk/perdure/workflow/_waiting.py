"""asyncio's wait, as_completed and wait_for, the same in every process and on every supported Python."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Iterable, Iterator
from typing import Any, TypeVar

from perdure.durations import Duration, to_microseconds
from perdure.workflow._access import current

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
    seconds = None if timeout is None else to_microseconds(timeout, "timeout") / 1_000_000
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
