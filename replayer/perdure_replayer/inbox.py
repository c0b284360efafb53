"""Signals and queries: handlers by name, and signals that wait for one.

Owned by the run; changed by its code (`set`) and by its turns (`take`). A signal whose handler is not set yet
waits here, in order, for as long as the run lives.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from perdure_history.events import WorkflowExecutionSignaled
from perdure_replayer.definition import HandlerDefinition


@dataclass(slots=True)
class Inbox:
    """Handlers by name (None: the dynamic one) and the signals that no handler has taken."""

    signals: dict[str | None, HandlerDefinition] = field(default_factory=dict)
    queries: dict[str | None, HandlerDefinition] = field(default_factory=dict)
    waiting: list[WorkflowExecutionSignaled] = field(default_factory=list)
    unfinished: int = 0
    """Handlers that have begun and not ended."""

    def signal_handler(self, name: str) -> HandlerDefinition | None:
        """The handler of this name, else the dynamic one, else None."""
        return self.signals.get(name) or self.signals.get(None)

    def query_handler(self, name: str) -> HandlerDefinition | None:
        """The handler of this name, else the dynamic one, else None."""
        return self.queries.get(name) or self.queries.get(None)

    def set_signal_handler(
        self, name: str | None, handler: HandlerDefinition | None
    ) -> list[WorkflowExecutionSignaled]:
        """Set or remove a handler; gives the signals that waited for it, oldest first."""
        _put(self.signals, name, handler)
        if handler is None:
            return []
        due = [signal for signal in self.waiting if name is None or signal.signal_name == name]
        self.waiting = [signal for signal in self.waiting if not (name is None or signal.signal_name == name)]
        return due

    def set_query_handler(self, name: str | None, handler: HandlerDefinition | None) -> None:
        """Set or remove a handler."""
        _put(self.queries, name, handler)


def collect_handlers(
    named: Mapping[str, HandlerDefinition], dynamic: HandlerDefinition | None
) -> dict[str | None, HandlerDefinition]:
    """One mapping, with the dynamic handler under None."""
    collected: dict[str | None, HandlerDefinition] = {name: handler for name, handler in named.items()}  # noqa: C416  # dict() would keep str keys
    if dynamic is not None:
        collected[None] = dynamic
    return collected


def _put(
    handlers: dict[str | None, HandlerDefinition], name: str | None, handler: HandlerDefinition | None
) -> None:
    if handler is None:
        handlers.pop(name, None)
    else:
        handlers[name] = handler
