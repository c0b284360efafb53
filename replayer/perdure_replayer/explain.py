"""Where in workflow code something happened, for people to read."""

import asyncio
import sys
from functools import lru_cache
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

_OWN = frozenset({"perdure", "perdure_replayer", "perdure_history"})
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
        if is_user_code(frame.f_code, frame.f_globals.get("__name__", "")):
            return f"{frame.f_code.co_filename}:{frame.f_lineno}"
        frame = frame.f_back
    return ""


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


def shorten(text: str, limit: int = 200) -> str:
    """`text`, cut in the middle of nowhere but marked as cut, when it is longer than `limit` characters."""
    return text if len(text) <= limit else text[: limit - 3] + "..."
