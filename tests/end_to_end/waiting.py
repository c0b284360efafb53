"""Waiting for what other processes do: nobody can be asked to tell, so it is looked for again and again."""

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any

from tests.end_to_end.processes import LONG


async def until(condition: Callable[..., Any], *arguments: Any, seconds: float = LONG) -> Any:
    """The first true answer of `condition(*arguments)`, which may be a coroutine function."""
    deadline = time.monotonic() + seconds
    while True:
        answer = condition(*arguments)
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return answer
        assert time.monotonic() < deadline, "it did not come about"
        await asyncio.sleep(0.005)
