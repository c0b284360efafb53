"""The workflows and activities that a module holds."""

import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from perdure.cli._exits import CommandError, Exit
from perdure.definitions import ACTIVITY, WORKFLOW


@dataclass(frozen=True, slots=True)
class Registrations:
    """What a worker is to run."""

    workflows: list[Any]
    activities: list[Callable[..., Any]]


def imported_module(name: str) -> ModuleType:
    """The module with this dotted name, looked for in the current folder first; or the one in a .py file.

    Ends the command when there is none; an error inside the module goes through.
    """
    folder, path = os.getcwd(), name  # noqa: PTH109  sys.path holds strings
    if name.endswith(".py"):
        file = Path(name).resolve()
        folder, path = str(file.parent), file.stem
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        return import_module(path)
    except ModuleNotFoundError as error:
        if error.name and (path == error.name or path.startswith(f"{error.name}.")):
            raise CommandError(
                f"There is no module {path!r}. Run the command in the folder that holds it, or install its package.",
                Exit.USAGE,
            ) from error
        raise


def registrations_of(module: ModuleType) -> Registrations:
    """All that the module defines or imports by name, each once, in the order in which it stands there.

    Activities that are methods are found on objects that stand in the module, such as ``billing = Billing(db)``.
    """
    workflows: dict[int, Any] = {}
    activities: dict[tuple[int, str], Callable[..., Any]] = {}
    for name, value in vars(module).items():
        if name.startswith("__") or isinstance(value, ModuleType):
            continue
        if inspect.isclass(value):
            if WORKFLOW in vars(value):
                workflows[id(value)] = value
        elif hasattr(value, WORKFLOW):
            workflows[id(value)] = value
        elif hasattr(value, ACTIVITY):
            activities[id(value), ""] = value
        else:
            for method in _activity_methods(cast("type[object]", type(value))):
                activities[id(value), method] = getattr(value, method)
    return Registrations(list(workflows.values()), list(activities.values()))


def _activity_methods(cls: type) -> list[str]:
    return [
        name for owner in cls.__mro__ for name, member in vars(owner).items() if hasattr(member, ACTIVITY)
    ]
