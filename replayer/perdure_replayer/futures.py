"""Futures and tasks of workflow code: asyncio's own, hashed by creation instead of by address.

Stock asyncio keeps tasks in sets, and a set's order follows the hashes. An address differs from process to
process; a creation number is the same on every replay. The numbers of a run start at an offset drawn from its
seed, because asyncio also keeps one process-wide weak set of all tasks, where equal numbers would pile up.
"""

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from typing import Any, TypeVar

T = TypeVar("T")


class RunFuture(asyncio.Future[T]):
    """A future that hashes by its creation number."""

    __slots__ = ("number",)

    def __init__(self, number: int, loop: asyncio.AbstractEventLoop) -> None:
        self.number = number
        super().__init__(loop=loop)

    def __hash__(self) -> int:
        return self.number


class RunTask(asyncio.Task[T]):
    """A task that hashes by its creation number and may be dropped while it waits."""

    __slots__ = ("number",)

    def __init__(
        self,
        number: int,
        coro: Coroutine[Any, Any, T],
        *,
        loop: asyncio.AbstractEventLoop,
        name: str,
        context: Context | None,
    ) -> None:
        # asyncio's constructor puts the task into a weak set, so the hash must work before it.
        self.number = number
        super().__init__(coro, loop=loop, name=name, context=context)
        # An evicted run leaves its tasks where they wait; that is not worth a warning.
        self._log_destroy_pending = False

    def __hash__(self) -> int:
        return self.number
