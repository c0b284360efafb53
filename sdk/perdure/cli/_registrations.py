"""The workflows and activities that a module holds."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from perdure.definitions import ACTIVITY, WORKFLOW


@dataclass(frozen=True, slots=True)
class Registrations:
    """What a worker is to run."""

    workflows: list[Any]
    activities: list[Callable[..., Any]]


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
            for method in _activity_methods(type(value)):
                activities[id(value), method] = getattr(value, method)
    return Registrations(list(workflows.values()), list(activities.values()))


def _activity_methods(cls: type) -> list[str]:
    return [
        name for owner in cls.__mro__ for name, member in vars(owner).items() if hasattr(member, ACTIVITY)
    ]
