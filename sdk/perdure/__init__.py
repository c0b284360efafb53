"""Durable workflows in plain async Python, with nothing to run but a database."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perdure import (
        activity,
        client,
        common,
        converter,
        exceptions,
        worker,
        workflow,
    )
    from perdure._run import run
    from perdure.client import Client
    from perdure.common import RetryPolicy
    from perdure.exceptions import ApplicationError
    from perdure.worker import Worker

__all__ = [
    "ApplicationError",
    "Client",
    "RetryPolicy",
    "Worker",
    "activity",
    "client",
    "common",
    "converter",
    "exceptions",
    "run",
    "worker",
    "workflow",
]

_HOMES = {
    "ApplicationError": "perdure.exceptions",
    "Client": "perdure.client",
    "RetryPolicy": "perdure.common",
    "Worker": "perdure.worker",
    "run": "perdure._run",
}
"""Where the names live that are not modules; loaded when first used, so that `import perdure` stays quick."""


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'perdure' has no attribute {name!r}; it has {', '.join(__all__)}")
    home = _HOMES.get(name)
    if home is None:
        return importlib.import_module(f"perdure.{name}")
    value = globals()[name] = getattr(importlib.import_module(home), name)
    return value


def __dir__() -> list[str]:
    return __all__
