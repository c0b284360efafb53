"""The scan names what a workflow may not use, by file, line and cure, whatever alias it hides behind."""

# ruff: noqa: A002, ICN001, PTH110, PTH123, PTH208, SIM115, T201, UP020  # what is refused is done here on purpose

import asyncio
import asyncio as aio
import concurrent.futures
import datetime
import inspect
import io
import os
import pathlib
import random
import secrets
import socket
import subprocess
import threading
import time
import time as t
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from datetime import datetime as dt
from functools import cached_property, lru_cache
from os import urandom as entropy
from pathlib import Path
from time import monotonic
from time import time as wall
from typing import Any

import pytest

from perdure_replayer.errors import RestrictedCallError
from perdure_replayer.guards import refuse, scan

RNG = random.Random(1)
SYSTEM = random.SystemRandom()
CONFIG = Path("config.toml")
right_now = dt.now


def _draw() -> float:
    return random.random()


def _indirect() -> float:
    return _draw()


@lru_cache
def _cached() -> str:
    return Path("x").read_text()


@dataclass
class _Stamped:
    at: float = field(default_factory=time.time)


class _Opens:
    def __init__(self) -> None:
        self.file = open("x")


FORBIDDEN: list[tuple[str, Callable[..., Any]]] = [
    ("time.time()", lambda: time.time()),
    ("time.time()", lambda: t.time()),
    ("time.time()", lambda: wall()),
    ("time.monotonic()", lambda: monotonic()),
    ("time.perf_counter_ns()", lambda: time.perf_counter_ns()),
    ("time.sleep()", lambda: time.sleep(1)),
    ("time.localtime()", lambda: time.localtime()),
    ("time.strftime()", lambda: time.strftime("%H")),
    ("datetime.datetime.now()", lambda: dt.now()),
    ("datetime.datetime.now()", lambda: dt.now(tz=datetime.UTC).isoformat()),
    ("datetime.datetime.now()", lambda: right_now()),
    ("datetime.datetime.utcnow()", lambda: datetime.datetime.utcnow()),
    ("datetime.datetime.today()", lambda: dt.today()),
    ("datetime.date.today()", lambda: date.today()),
    ("random.random()", lambda: random.random()),
    ("random.shuffle()", lambda: random.shuffle([])),
    ("random.Random()", lambda: random.Random()),
    ("random.Random.randint()", lambda: RNG.randint(1, 2)),
    ("random.SystemRandom()", lambda: random.SystemRandom()),
    ("random.Random.choice()", lambda: SYSTEM.choice([1])),
    ("secrets.token_hex()", lambda: secrets.token_hex()),
    ("os.urandom()", lambda: os.urandom(4)),
    ("os.urandom()", lambda: entropy(4)),
    ("uuid.uuid1()", lambda: uuid.uuid1()),
    ("uuid.uuid4()", lambda: str(uuid.uuid4())),
    ("threading.Thread()", lambda: threading.Thread(target=print).start()),
    ("asyncio.to_thread()", lambda: asyncio.to_thread(print)),
    ("asyncio.to_thread()", lambda: aio.to_thread(print)),
    ("concurrent.futures.ThreadPoolExecutor()", lambda: concurrent.futures.ThreadPoolExecutor(2)),
    ("subprocess.run()", lambda: subprocess.run(["ls"])),
    ("subprocess.Popen()", lambda: subprocess.Popen(["ls"])),
    ("os.system()", lambda: os.system("ls")),
    ("socket.socket()", lambda: socket.socket()),
    ("socket.create_connection()", lambda: socket.create_connection(("h", 1))),
    ("open()", lambda: open("x")),
    ("open()", lambda: io.open("x")),
    ("input()", lambda: input()),
    ("os.path.exists()", lambda: os.path.exists("x")),
    ("os.listdir()", lambda: os.listdir()),
    ("pathlib.Path.read_text()", lambda: Path("x").read_text()),
    ("pathlib.Path.write_text()", lambda: pathlib.Path("x").write_text("y")),
    ("pathlib.Path.exists()", lambda: CONFIG.exists()),
    ("pathlib.Path.cwd()", lambda: Path.cwd()),
    ("random.random()", lambda: _draw()),
    ("random.random()", lambda: _indirect()),
    ("pathlib.Path.read_text()", lambda: _cached()),
    ("time.time()", lambda: _Stamped()),
    ("open()", lambda: _Opens()),
    ("time.time()", lambda: [time.time() for _ in range(3)]),
    ("time.time()", lambda: sorted([], key=lambda _: time.time())),
    ("time.time()", lambda: print(end=str(time.time()))),
    ("time.time()", lambda: list(map(time.time, []))),
]


@pytest.mark.parametrize(
    ("what", "function"), FORBIDDEN, ids=lambda value: value if isinstance(value, str) else ""
)
def test_restricted_use_is_found_under_any_alias(what: str, function: Callable[..., Any]) -> None:
    findings = scan(function)

    assert [finding.what for finding in findings] == [what]
    assert findings[0].cure


def test_message_names_the_line_of_the_call_and_the_cure() -> None:
    async def flow() -> float:
        started = 0.0
        started += time.time()
        return started

    (finding,) = scan(flow)

    line = inspect.getsourcelines(flow)[1] + 2
    assert finding.where == f"{__file__}:{line}"
    assert "workflow.now()" in str(finding)


def test_call_over_several_lines_is_found_at_its_name() -> None:
    async def flow() -> str:
        return (Path("x").joinpath("y").name) + (
            dt.now(
                tz=None,
            ).isoformat()
        )

    (finding,) = scan(flow)

    assert finding.what == "datetime.datetime.now()"


def test_import_inside_the_workflow_is_followed() -> None:
    async def flow() -> object:
        import os.path as paths
        import time as clock
        from datetime import datetime as moment
        from secrets import token_hex

        return clock.time(), moment.now(), token_hex(), paths.exists("x")

    assert [finding.what for finding in scan(flow)] == [
        "time.time()",
        "datetime.datetime.now()",
        "secrets.token_hex()",
        "os.path.exists()",
    ]


def test_module_that_is_not_loaded_is_known_by_name() -> None:
    async def flow() -> object:
        import requests  # type: ignore[import-untyped]
        from aiohttp import ClientSession

        return requests.get("http://x"), ClientSession()

    assert [finding.what for finding in scan(flow)] == ["requests.get()", "aiohttp.ClientSession()"]


def test_object_kept_in_a_local_is_followed() -> None:
    async def flow() -> str:
        path = Path("x")
        return path.read_text()

    assert [finding.what for finding in scan(flow)] == ["pathlib.Path.read_text()"]


def test_closure_of_the_workflow_is_followed() -> None:
    clock = time.time

    async def flow() -> float:
        return clock()

    assert [finding.what for finding in scan(flow)] == ["time.time()"]


class Base:
    def inherited(self) -> float:
        return time.monotonic()


class Everywhere(Base):
    def __init__(self) -> None:
        self.started = time.time()

    async def run(self) -> str:
        def inner() -> bytes:
            return os.urandom(1)

        return self.static() + str(inner())

    def signal(self) -> None:
        self.id = uuid.uuid4()

    @property
    def when(self) -> object:
        return dt.now()

    @cached_property
    def noise(self) -> float:
        return random.random()

    @staticmethod
    def static() -> str:
        return secrets.token_hex()


def test_every_method_of_a_class_is_read() -> None:
    found = {finding.what for finding in scan(Everywhere)}

    assert found == {
        "time.time()",
        "time.monotonic()",
        "os.urandom()",
        "uuid.uuid4()",
        "datetime.datetime.now()",
        "random.random()",
        "secrets.token_hex()",
    }


def test_name_defined_later_is_found_when_scanned_again() -> None:
    namespace: dict[str, Any] = {"__name__": "late", "time": time}
    exec("def flow():\n    return helper()\n", namespace)
    before = scan(namespace["flow"])

    exec("def helper():\n    return time.time()\n", namespace)
    after = scan(namespace["flow"])

    assert before == []
    assert [finding.what for finding in after] == ["time.time()"]


def test_refuse_raises_the_first_finding_and_notes_the_others() -> None:
    async def flow() -> object:
        return time.time(), random.random()

    with pytest.raises(RestrictedCallError) as caught:
        refuse(flow)

    assert caught.value.what == "time.time()"
    assert "random.random()" in caught.value.__notes__[0]
