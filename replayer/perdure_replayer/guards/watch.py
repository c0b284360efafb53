"""Refuses restricted calls while workflow code runs: what the scan could not see.

Owns the replacements that `install` puts into modules and classes, process-wide and counted: the last
`uninstall` puts back exactly what was there. What to replace comes in through a parameter, because this package
may not import the modules concerned. A replacement acts only when the running loop of the thread is a run's own;
otherwise it costs one look-up.

Who called is decided by the stack, innermost frame first, up to the replayer's own:

    logging, tracebacks, imports, debuggers, a finalizer   anywhere: allowed, they do not steer the workflow
    asyncio, perdure                                        before any user code: allowed, it is their own need
    other modules of Python                                 passed over: they act for their caller
    anything else                                           refused, with this frame's line
"""

import sys
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import update_wrapper, wraps
from types import FrameType, FunctionType
from typing import Any, Final, NoReturn

from perdure_replayer.errors import RestrictedCallError
from perdure_replayer.guards.recognition import is_stdlib
from perdure_replayer.guards.restrictions import Restriction
from perdure_replayer.runtime import find

BYSTANDERS = frozenset(
    (
        *("importlib", "_frozen_importlib", "_frozen_importlib_external", "zoneinfo"),
        *("logging", "traceback", "linecache", "tokenize", "inspect", "warnings"),
        *("pdb", "bdb", "pydevd", "debugpy", "coverage"),
        *("structlog", "loguru", "opentelemetry", "sentry_sdk"),
    )
)
"""Packages that watch the program or load it: their use of clocks and files changes no decision of a workflow."""

_unrestricted: ContextVar[bool] = ContextVar("perdure_unrestricted", default=False)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Refuse an attribute of a module or class inside workflow code."""

    owner: object
    """A module or a class."""
    attribute: str
    restriction: Restriction
    """Its `max_args` counts the object itself for a method."""


@dataclass(frozen=True, slots=True)
class Detour:
    """Call something else in its place inside workflow code."""

    owner: object
    attribute: str
    replacement: Callable[..., Any]


Target = Refusal | Detour


@dataclass(frozen=True, slots=True)
class _Replaced:
    owner: object
    attribute: str
    original: Any
    was_own: bool
    """False: the attribute was inherited, so putting back means deleting."""
    guard: Any


class _Installation:
    """What is replaced at the moment, and how many asked for it."""

    def __init__(self) -> None:
        self.count = 0
        self.replaced: list[_Replaced] = []


_installation: Final = _Installation()


def install(targets: Iterable[Target]) -> None:
    """Replace every target, unless that is done already. Pair each call with one `uninstall`.

    Not safe against another thread's `install` or `uninstall`; the caller holds a lock. The targets of the first
    call count until the last `uninstall`.
    """
    _installation.count += 1
    if _installation.count > 1:
        return
    guards: dict[tuple[int, type], Any] = {}
    for target in targets:
        namespace: dict[str, Any] = vars(target.owner)
        was_own = target.attribute in namespace
        original: Any = namespace[target.attribute] if was_own else getattr(target.owner, target.attribute)
        # One guard for each object: `io.open is open` stays true.
        guard = guards.get((id(original), type(target)))
        if guard is None:
            guard = guards[id(original), type(target)] = _guard(original, target)
        setattr(target.owner, target.attribute, guard)
        _installation.replaced.append(_Replaced(target.owner, target.attribute, original, was_own, guard))


def uninstall() -> None:
    """Take one `install` back; the last one restores what was there.

    An attribute that someone else replaced in the meantime is left to them; the guard beneath stops acting.
    """
    if _installation.count == 0:
        return
    _installation.count -= 1
    if _installation.count:
        return
    for item in reversed(_installation.replaced):
        namespace: dict[str, Any] = vars(item.owner)
        if namespace.get(item.attribute) is not item.guard:
            continue
        if item.was_own:
            setattr(item.owner, item.attribute, item.original)
        else:
            delattr(item.owner, item.attribute)
    _installation.replaced.clear()


def is_installed() -> bool:
    """Whether guards stand at the moment."""
    return _installation.count > 0


@contextmanager
def unrestricted() -> Generator[None]:
    """Let restricted calls of this task pass, also those of tasks that it starts inside the block."""
    token = _unrestricted.set(True)
    try:
        yield
    finally:
        _unrestricted.reset(token)


def _guard(original: Any, target: Target) -> Any:
    if isinstance(target, Detour):
        return _detour(original, target.replacement)
    if isinstance(original, FunctionType):
        return _function_guard(original, target.restriction)
    return _Guard(original, target.restriction)


def _detour(original: Callable[..., Any], replacement: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(original)
    def guard(*args: Any, **kwargs: Any) -> Any:
        if find() is not None and _installation.count:
            return replacement(*args, **kwargs)
        return original(*args, **kwargs)

    return guard


def _function_guard(original: FunctionType, restriction: Restriction) -> Callable[..., Any]:
    @wraps(original)
    def guard(*args: Any, **kwargs: Any) -> Any:
        if find() is not None:
            _judge(restriction, len(args) + len(kwargs))
        return original(*args, **kwargs)

    return guard


class _Guard:
    """Stands for a builtin. An object and no function, because a builtin kept in a class does not bind self.

    The standard library does that: `class Formatter: converter = time.localtime`.
    """

    _original: Callable[..., Any]
    _restriction: Restriction

    def __init__(self, original: Callable[..., Any], restriction: Restriction) -> None:
        update_wrapper(self, original)
        self._original = original
        self._restriction = restriction

    def __call__(self, /, *args: Any, **kwargs: Any) -> Any:
        if find() is not None:
            _judge(self._restriction, len(args) + len(kwargs))
        return self._original(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name == "_original":  # Not initialised: copying must not recurse.
            raise AttributeError(name)
        return getattr(self._original, name)

    def __reduce__(self) -> Any:
        return self._original.__reduce__()

    def __repr__(self) -> str:
        return repr(self._original)


def _judge(restriction: Restriction, arguments: int) -> None:
    """Raise when workflow code is to blame for the call; return when it may go on."""
    if _unrestricted.get() or not _installation.count:
        return
    if restriction.max_args is not None and arguments > restriction.max_args:
        return
    # 0 is this function, 1 the guard, 2 its caller.
    culprit = _culprit(sys._getframe(2))  # noqa: SLF001  # pyright: ignore[reportPrivateUsage] - the stack is the question.
    if culprit is not None:
        _refuse(restriction, culprit)


def _refuse(restriction: Restriction, culprit: FrameType) -> NoReturn:
    where = f"{culprit.f_code.co_filename}:{culprit.f_lineno}"
    raise RestrictedCallError(restriction.what, where, restriction.cure)


def _culprit(frame: FrameType | None) -> FrameType | None:
    """The innermost frame that is neither Python's nor perdure's; None when the call is nobody's decision."""
    user: FrameType | None = None
    while frame is not None:
        module: str = frame.f_globals.get("__name__") or ""
        package = module.partition(".")[0]
        if package in BYSTANDERS or frame.f_code.co_name == "__del__":
            return None
        if package == "perdure_replayer" or (user is None and package in {"asyncio", "perdure"}):
            return user
        # Generated code, as a dataclass's __init__, has no file: its caller says more.
        if (user is None or user.f_code.co_filename.startswith("<")) and not is_stdlib(module):
            user = frame
        frame = frame.f_back
    return user
