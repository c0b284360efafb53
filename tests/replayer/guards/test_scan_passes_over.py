"""The scan raises no false alarm: what replays, and what the user answers for, passes."""

# ruff: noqa: A002, ICN001, PTH110, PTH123, PTH208, SIM115, T201, UP020  # what is refused is done here on purpose

import asyncio
import collections
import datetime
import json
import logging
import random
import re
import socket
import threading
import time
import uuid
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from typing import Any

import pytest

from perdure_replayer.guards import ACTIVITY_MARK, refuse, scan

logger = logging.getLogger(__name__)
workflow = SimpleNamespace(
    unsafe=SimpleNamespace(sandbox_unrestricted=nullcontext, imports_passed_through=nullcontext),
    in_workflow=lambda: True,
    now=lambda: None,
    random=lambda: random.Random(1),
)
sandbox_unrestricted = nullcontext


def _activity() -> float:
    return time.time()


setattr(_activity, ACTIVITY_MARK, True)


def _not_called_here() -> float:
    return time.time()


def _asks_where_it_is() -> float:
    return 0.0 if workflow.in_workflow() else time.time()


@dataclass
class _Order:
    id: str = ""
    lines: list[str] = field(default_factory=list)

    def save(self) -> None:
        Path("order").write_text(self.id)


class _Clock(datetime.datetime):
    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> "_Clock":
        return cls(2020, 1, 1, tzinfo=tz)


class _Shadow:
    def time(self) -> int:
        return 1

    def open(self) -> int:
        return 1


shadow = _Shadow()


def _arguments(time: Any, open: Any, random: Any) -> Any:
    return time.time(), open("x"), random.random()


def _rebound() -> Any:
    time = shadow
    return time.time()


def _conditional(flag: bool) -> Any:
    if flag:
        import time as clock
    else:
        clock = shadow  # type: ignore[assignment]
    return clock.time()


ALLOWED: list[Callable[..., Any]] = [
    _arguments,
    _rebound,
    _conditional,
    lambda: asyncio.sleep(1),
    lambda: asyncio.gather(asyncio.sleep(1)),
    lambda: asyncio.get_running_loop().time(),
    lambda: datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
    lambda: datetime.datetime.fromisoformat("2020-01-01"),
    lambda: timedelta(seconds=1).total_seconds(),
    lambda: time.gmtime(0),
    lambda: time.strftime("%H", time.gmtime(0)),
    lambda: _Clock.now(),
    lambda: random.Random(42).random(),
    lambda: workflow.random().random(),
    lambda: workflow.now().time(),
    lambda: uuid.UUID(int=1),
    lambda: uuid.uuid5(uuid.NAMESPACE_DNS, "x"),
    lambda x: isinstance(x, socket.socket),
    lambda x: isinstance(x, threading.Thread | socket.socket),
    lambda x: isinstance(x, Path) and Path(x).name,
    lambda: Path("a") / "b",
    lambda: PurePosixPath("a").parent,
    lambda: str(Path("a").with_suffix(".b")),
    lambda: shadow.time() + shadow.open(),
    lambda: logger.info("hello %s", 1),
    lambda: print("hello"),
    lambda: re.compile("a").match("b"),
    lambda: json.dumps(collections.OrderedDict()),
    lambda: socket.AF_INET,
    lambda: _Order(),
    lambda: _activity(),
    lambda: workflow.execute_activity(_activity, 1),
    lambda: workflow.execute_activity(_not_called_here, 1),
    lambda: _asks_where_it_is(),
]


@pytest.mark.parametrize("function", ALLOWED)
def test_code_that_replays_raises_no_alarm(function: Callable[..., Any]) -> None:
    refuse(function)


def test_unrestricted_block_is_passed_over_and_code_around_it_is_not() -> None:
    async def flow() -> Any:
        with workflow.unsafe.sandbox_unrestricted():
            try:
                a = time.time()
            except ValueError:
                a = time.monotonic()
            finally:
                time.sleep(0)
            with nullcontext():
                b = [random.random() for _ in range(3)]
            while a:
                a = min((lambda: time.time_ns())(), a)
            if not b:
                return Path("x").read_text()
        return time.perf_counter()

    assert [finding.what for finding in scan(flow)] == ["time.perf_counter()"]


def test_unrestricted_block_by_an_imported_name_is_passed_over() -> None:
    async def flow() -> Any:
        with nullcontext(), sandbox_unrestricted():
            return time.time()

    refuse(flow)


def test_code_before_an_unrestricted_block_and_in_other_blocks_is_not_passed_over() -> None:
    async def flow() -> Any:
        with workflow.unsafe.imports_passed_through():
            a = time.time()
        try:
            b = time.monotonic()
            with sandbox_unrestricted():
                c = time.time_ns()
        finally:
            d = time.process_time()
        return a, b, c, d

    found = {finding.what for finding in scan(flow)}

    assert found == {"time.time()", "time.monotonic()", "time.process_time()"}


class WithMore:
    """A workflow class that also holds what is not workflow code."""

    async def run(self) -> Any:
        return await workflow.execute_activity(self.charge)

    def charge(self) -> float:
        return time.time()

    setattr(charge, ACTIVITY_MARK, True)

    @staticmethod
    def main() -> None:
        time.sleep(1)

    @classmethod
    def load(cls) -> str:
        return Path("x").read_text()


def test_activities_and_uncalled_static_methods_of_a_workflow_class_are_passed_over() -> None:
    refuse(WithMore)
