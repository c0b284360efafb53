"""Commands written as coroutines."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec

P = ParamSpec("P")


def runs_coroutine(function: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """A plain function that runs the coroutine function on an event loop of its own."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(function(*args, **kwargs))

    return run
