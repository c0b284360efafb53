"""Conditions that workflow code waits for."""

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import NamedTuple


class Condition(NamedTuple):
    """A predicate and who waits for it."""

    predicate: Callable[[], bool]
    future: asyncio.Future[None]
    context: Context


class Conditions:
    """All conditions of a run, in order of creation; asked only within a turn, when nothing else is ready."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[Condition] = []

    def add(self, condition: Condition) -> None:
        """Ask this one too from now on."""
        self._waiting.append(condition)

    def release(self) -> bool:
        """Resolve the futures of all that have become true (or raise); gives whether there was one."""
        if not self._waiting:
            return False
        released = False
        # A predicate may add a condition: what is added now is asked the next time.
        asked, self._waiting = self._waiting, []
        kept: list[Condition] = []
        for condition in asked:
            if condition.future.done():
                continue
            try:
                if not condition.context.run(condition.predicate):
                    kept.append(condition)
                    continue
            except Exception as error:  # noqa: BLE001  # raised where the code waits for the condition
                condition.future.set_exception(error)
            else:
                condition.future.set_result(None)
            released = True
        self._waiting[:0] = kept
        return released

    def clear(self) -> None:
        """Forget all."""
        self._waiting.clear()
