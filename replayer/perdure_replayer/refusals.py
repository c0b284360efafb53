"""The parts of an event loop that touch the world, refused by name.

A mixin of `WorkflowLoop`: each method raises RestrictedCallError with the line that called it and the cure.
"""

import asyncio
from typing import Any, NoReturn

from perdure_replayer.errors import RestrictedCallError
from perdure_replayer.explain import find_caller

_ACTIVITY = "Do it in an activity and await the activity."
_REFUSED = {
    "run_in_executor": ("a thread (run_in_executor or asyncio.to_thread)", _ACTIVITY),
    "call_soon_threadsafe": ("call_soon_threadsafe", "Send the workflow a signal instead."),
    "set_default_executor": ("an executor", _ACTIVITY),
    "set_exception_handler": (
        "set_exception_handler",
        "When it is called depends on garbage collection; catch exceptions where they are awaited.",
    ),
    "set_task_factory": ("set_task_factory", "Tasks of a workflow are made by its own loop only."),
    "run_forever": ("run_forever", "The workflow's loop is run by its worker; await instead."),
    "run_until_complete": ("run_until_complete", "The workflow's loop is run by its worker; await instead."),
    "stop": ("stop", "Return from the workflow instead."),
    "close": ("close", "Return from the workflow instead."),
    "set_debug": ("set_debug", "Leave the workflow's loop as it is."),
}
_WORLD = (  # noqa: SIM905  # a list of 31 strings reads worse
    "getaddrinfo getnameinfo create_connection create_server sendfile start_tls create_unix_connection "
    "create_unix_server connect_accepted_socket create_datagram_endpoint connect_read_pipe connect_write_pipe "
    "subprocess_shell subprocess_exec add_reader remove_reader add_writer remove_writer sock_recv sock_recv_into "
    "sock_recvfrom sock_recvfrom_into sock_sendall sock_sendto sock_connect sock_accept sock_sendfile "
    "add_signal_handler remove_signal_handler shutdown_asyncgens shutdown_default_executor"
).split()


class WorldRefusal(asyncio.AbstractEventLoop):
    """Every method of an event loop that a workflow may not use."""


def _refuse(method: str, what: str, cure: str) -> Any:
    def refused(self: WorldRefusal, *args: Any, **options: Any) -> NoReturn:
        raise RestrictedCallError(what, find_caller() or "an unknown place", cure)

    refused.__name__ = method
    refused.__doc__ = f"Raise RestrictedCallError: {cure}"
    return refused


for _name, (_what, _cure) in _REFUSED.items():
    setattr(WorldRefusal, _name, _refuse(_name, _what, _cure))
for _name in _WORLD:
    setattr(WorldRefusal, _name, _refuse(_name, f"the event loop's {_name}", _ACTIVITY))
