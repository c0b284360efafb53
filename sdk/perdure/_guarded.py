"""What is refused at runtime inside workflow code: the real objects behind the replayer's names.

The replayer may import neither clock nor socket, so the modules are imported here and handed to it. Only what
no module of Python needs for itself all the time is replaced; the scan at decoration knows many more names.
"""

import asyncio
import asyncio.tasks
import builtins
import io
import os
import random
import secrets
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Awaitable, Iterable
from dataclasses import replace
from types import ModuleType
from typing import Any

from perdure.workflow._waiting import gather, in_order_of_completion, wait_for
from perdure_replayer import guards
from perdure_replayer.guards import RESTRICTIONS, Detour, Refusal, Target

_FUNCTIONS: dict[ModuleType, str] = {
    time: "time time_ns monotonic monotonic_ns perf_counter perf_counter_ns process_time process_time_ns "
    "thread_time thread_time_ns clock_gettime clock_gettime_ns localtime gmtime ctime asctime strftime sleep",
    random: "random uniform triangular randint choice randrange sample shuffle choices normalvariate "
    "lognormvariate expovariate vonmisesvariate gammavariate gauss betavariate paretovariate weibullvariate "
    "binomialvariate getrandbits randbytes seed",
    secrets: "token_bytes token_hex token_urlsafe choice randbelow randbits",
    uuid: "uuid1 uuid4 uuid6 uuid7",
    os: "urandom getrandom system fork forkpty posix_spawn posix_spawnp open listdir scandir mkdir remove unlink "
    "rename replace rmdir",
    socket: "getaddrinfo gethostbyname",
    builtins: "open input",
    io: "open",
}
"""Functions replaced in their modules, as far as this Python and this platform have them."""

_METHODS: tuple[tuple[type, str, str, int | None], ...] = (
    (threading.Thread, "start", "threading.Thread.start", None),
    (subprocess.Popen, "__init__", "subprocess.Popen", None),
    (socket.socket, "__init__", "socket.socket", None),
    (random.SystemRandom, "random", "random.SystemRandom.random", None),
    (random.SystemRandom, "getrandbits", "random.SystemRandom.getrandbits", None),
    (random.SystemRandom, "randbytes", "random.SystemRandom.randbytes", None),
    (random.Random, "__init__", "random.Random", 1),
)
"""Methods replaced in their classes, which stay what they are: class, method, restriction, most arguments with
which it is refused (the object itself counts)."""

_as_completed = asyncio.as_completed
_lock = threading.Lock()


def install_guards() -> None:
    """Watch workflow code of this process from now on; pair it with `uninstall_guards`. Safe in any thread."""
    with _lock:
        guards.install(runtime_targets())


def uninstall_guards() -> None:
    """Take one `install_guards` back; the last one restores everything."""
    with _lock:
        guards.uninstall()


def runtime_targets() -> list[Target]:
    """Everything that the guards replace, as far as this Python and this platform have it."""
    targets: list[Target] = [
        Refusal(module, name, RESTRICTIONS[f"{module.__name__}.{name}"])
        for module, names in _FUNCTIONS.items()
        for name in names.split()
        if hasattr(module, name)
    ]
    for owner, attribute, name, max_args in _METHODS:
        targets.append(Refusal(owner, attribute, replace(RESTRICTIONS[name], max_args=max_args)))
    for module in (asyncio, asyncio.tasks):
        targets.append(Detour(module, "as_completed", _ordered_as_completed))
        targets.append(Detour(module, "wait_for", wait_for))
        targets.append(Detour(module, "gather", gather))
    return targets


def _ordered_as_completed(fs: Iterable[Awaitable[Any]], *, timeout: float | None = None) -> Any:
    """asyncio.as_completed with tasks made at once and in the order given.

    Left alone it puts bare coroutines into a set, which has them in the order of their addresses; a run's tasks
    hash by their number, so a set of those has one order. Before Python 3.13 it also began, and started its
    timer, only when it was iterated; only since then can it be iterated asynchronously.
    """
    if sys.version_info < (3, 13):
        return in_order_of_completion(fs, timeout)
    return _as_completed([asyncio.ensure_future(one) for one in dict.fromkeys(fs)], timeout=timeout)
