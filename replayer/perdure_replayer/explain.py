"""Where in workflow code something happened, for people to read."""

import asyncio
import sys
from collections.abc import Callable
from functools import lru_cache
from inspect import unwrap
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

_OWN = frozenset({"perdure", "perdure_replayer", "perdure_history"})
_BOUNDARY = "perdure_replayer.execution"
"""All workflow code runs below this module; what is above belongs to whoever computes the turn."""
_LIBRARY = str(Path(asyncio.__file__).resolve().parent.parent)


@lru_cache(maxsize=4096)
def is_user_code(code: CodeType, module: str) -> bool:
    """Whether a frame belongs to the user, not to perdure and not to Python's own library."""
    top = module.partition(".")[0]
    if top in _OWN or code.co_filename.startswith("<frozen"):
        return False
    return not (top in sys.stdlib_module_names and code.co_filename.startswith(_LIBRARY))


def find_caller() -> str:
    """file:line of the innermost workflow code on the stack; empty when there is none."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]  # inspect reads sources too
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module == _BOUNDARY:
            break
        if is_user_code(frame.f_code, module):
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


def find_raised(error: BaseException) -> str:
    """file:line of the innermost workflow code that `error` passed through; empty when there is none."""
    found = ""
    traceback = error.__traceback__
    while traceback is not None:
        frame = traceback.tb_frame
        if is_user_code(frame.f_code, frame.f_globals.get("__name__", "")):
            found = f"{frame.f_code.co_filename}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return found


def find_definition(function: Callable[..., object]) -> str:
    """file:line where `function` is written, below whatever wraps it; empty when it is not written in Python."""
    code = getattr(unwrap(function), "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if isinstance(code, CodeType) else ""


def find_waiting(task: "asyncio.Task[Any] | None") -> str:
    """file:line of the innermost workflow code in which `task` waits; empty when it does not wait."""
    awaited: Any = task.get_coro() if task is not None else None  # coroutines have no common typed base
    found = ""
    while awaited is not None:
        frame = getattr(awaited, "cr_frame", None) or getattr(awaited, "gi_frame", None)
        if frame is not None and is_user_code(frame.f_code, frame.f_globals.get("__name__", "")):
            found = f"{frame.f_code.co_filename}:{frame.f_lineno}"
        awaited = getattr(awaited, "cr_await", None) or getattr(awaited, "gi_yieldfrom", None)
    return found
