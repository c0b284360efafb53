"""While workflow code runs, restricted calls are refused; everyone else notices nothing."""

# ruff: noqa: A002, ICN001, PTH110, PTH123, PTH208, SIM115, T201, UP020  # what is refused is done here on purpose

import asyncio
import builtins
import copy
import importlib
import inspect
import io
import logging
import os
import pickle
import random
import secrets
import socket
import subprocess
import sys
import threading
import time
import traceback
import uuid
import warnings
import zoneinfo
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from perdure import _guarded
from perdure_replayer import guards
from perdure_replayer.errors import RestrictedCallError
from perdure_replayer.guards import RESTRICTIONS, Refusal


class _RunLoop(asyncio.AbstractEventLoop):
    """All that the guards look at: the running loop leads to a run."""

    perdure_runtime = object()


@contextmanager
def workflow_code() -> Iterator[None]:
    """Make a run's loop the running one of this thread."""
    host = asyncio._get_running_loop()
    asyncio._set_running_loop(_RunLoop())
    try:
        yield
    finally:
        asyncio._set_running_loop(host)


@pytest.fixture
def guarded() -> Iterator[None]:
    _guarded.install_guards()
    yield
    _guarded.uninstall_guards()


def refused(function: Callable[..., Any], *args: Any, **kwargs: Any) -> RestrictedCallError:
    """Call it as workflow code; the error it must raise."""
    with workflow_code(), pytest.raises(RestrictedCallError) as caught:
        function(*args, **kwargs)
    return caught.value


def _library(source: str, **names: Any) -> dict[str, Any]:
    """Functions of a third-party module."""
    namespace: dict[str, Any] = {"__name__": "third_party", **names}
    exec(compile(source, "third_party.py", "exec"), namespace)
    return namespace


CALLS: list[tuple[str, Callable[..., Any]]] = [
    ("time.time()", lambda: time.time()),
    ("time.monotonic()", lambda: time.monotonic()),
    ("time.perf_counter()", lambda: time.perf_counter()),
    ("time.sleep()", lambda: time.sleep(0)),
    ("time.gmtime()", lambda: time.gmtime()),
    ("random.random()", lambda: random.random()),
    ("random.shuffle()", lambda: random.shuffle([1, 2])),
    ("random.Random()", lambda: random.Random()),
    ("random.SystemRandom.getrandbits()", lambda: random.SystemRandom(1).randrange(5)),
    ("secrets.token_hex()", lambda: secrets.token_hex()),
    ("os.urandom()", lambda: os.urandom(1)),
    ("uuid.uuid4()", lambda: uuid.uuid4()),
    ("uuid.uuid1()", lambda: uuid.uuid1()),
    ("threading.Thread.start()", lambda: threading.Thread(target=print).start()),
    ("threading.Thread.start()", lambda: ThreadPoolExecutor(1).submit(print)),
    ("socket.socket()", lambda: socket.socket()),
    ("socket.getaddrinfo()", lambda: socket.getaddrinfo("localhost", 1)),
    ("subprocess.Popen()", lambda: subprocess.run(["true"], check=False)),
    ("os.system()", lambda: os.system("true")),
    ("open()", lambda: open(__file__)),
    ("open()", lambda: Path(__file__).read_text()),
    ("os.listdir()", lambda: os.listdir(".")),
    ("os.open()", lambda: os.open(".", os.O_RDONLY)),
]


@pytest.mark.usefixtures("guarded")
@pytest.mark.parametrize(("what", "call"), CALLS, ids=lambda value: value if isinstance(value, str) else "")
def test_restricted_call_is_refused_inside_workflow_code_only(what: str, call: Callable[..., Any]) -> None:
    error = refused(call)

    assert error.what == what
    assert error.where == f"{__file__}:{inspect.getsourcelines(call)[1]}"
    assert error.cure


@pytest.mark.usefixtures("guarded")
def test_the_same_calls_pass_outside_workflow_code() -> None:
    async def host() -> float:
        return time.time()

    assert time.time() > 0
    assert asyncio.run(host()) > 0
    assert random.random() < 1
    assert uuid.uuid4().version == 4
    assert Path(__file__).read_text()
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(os.urandom, 2).result(10)


@pytest.mark.usefixtures("guarded")
def test_other_threads_are_not_workflow_code() -> None:
    seen: list[float] = []
    with workflow_code(), guards.unrestricted():
        thread = threading.Thread(target=lambda: seen.append(time.time()))
        thread.start()
        thread.join(10)

    assert seen


@pytest.mark.usefixtures("guarded")
def test_library_that_reads_the_clock_is_refused_with_the_library_line() -> None:
    library = _library("\n\ndef stamp():\n    return time.time()\n", time=time)

    error = refused(library["stamp"])

    assert error.where == "third_party.py:4"


@pytest.mark.usefixtures("guarded")
def test_calls_with_explicit_arguments_that_replay_pass() -> None:
    with workflow_code():
        assert time.gmtime(0).tm_year == 1970
        assert time.strftime("%Y", time.gmtime(0)) == "1970"
        assert random.Random(7).random() == random.Random(7).random()


@pytest.mark.usefixtures("guarded")
def test_logging_inside_a_workflow_passes(tmp_path: Path) -> None:
    logger = logging.getLogger("perdure.test.guards")
    handler = logging.FileHandler(tmp_path / "log.txt", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    logger.addHandler(handler)
    try:
        with workflow_code():
            logger.warning("hello")
            try:
                raise ValueError("x")
            except ValueError:
                logger.exception("failed")
    finally:
        logger.removeHandler(handler)
        handler.close()

    assert "hello" in (tmp_path / "log.txt").read_text()
    assert "ValueError" in (tmp_path / "log.txt").read_text()


@pytest.mark.usefixtures("guarded")
def test_handler_of_a_logging_library_may_read_the_clock() -> None:
    library = _library(
        "class Handler(logging.Handler):\n    def emit(self, record):\n        stamps.append(time.time())\n",
        logging=logging,
        time=time,
        stamps=(stamps := []),
    )
    logger = logging.getLogger("perdure.test.guards.library")
    logger.addHandler(handler := library["Handler"]())
    try:
        with workflow_code():
            logger.warning("hello")
    finally:
        logger.removeHandler(handler)

    assert len(stamps) == 1


@pytest.mark.usefixtures("guarded")
def test_import_inside_a_workflow_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "imported_in_workflow.py").write_text(
        "import time\n\ndef stamp():\n    return time.time()\n\nLOADED = stamp()\nwith open(__file__) as f:\n    TEXT = f.read(6)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    try:
        with workflow_code():
            module = importlib.import_module("imported_in_workflow")
            import colorsys  # noqa: F401
        assert module.TEXT == "import"
        assert refused(module.stamp).where.endswith("imported_in_workflow.py:4")
    finally:
        sys.modules.pop("imported_in_workflow", None)


@pytest.mark.usefixtures("guarded")
def test_tracebacks_warnings_and_time_zones_pass() -> None:
    with workflow_code():
        try:
            raise ValueError("x")
        except ValueError:
            text = traceback.format_exc()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warnings.warn("careful", stacklevel=1)
        zone = zoneinfo.ZoneInfo.no_cache("Europe/Berlin")

    assert "raise ValueError" in text
    assert len(caught) == 1
    assert zone.key == "Europe/Berlin"


@pytest.mark.usefixtures("guarded")
def test_finalizer_that_happens_to_run_inside_a_workflow_passes() -> None:
    class Resource:
        def __del__(self) -> None:
            closed.append(time.time())

    closed: list[float] = []
    held = [Resource()]

    with workflow_code():
        held.clear()

    assert len(closed) == 1


@pytest.mark.usefixtures("guarded")
def test_unrestricted_block_lets_calls_of_its_task_pass() -> None:
    with workflow_code():
        with guards.unrestricted():
            assert time.time() > 0
        with pytest.raises(RestrictedCallError):
            time.time()


def _standing() -> dict[str, Any]:
    return {
        "time": time.time,
        "open": builtins.open,
        "io.open": io.open,
        "random": random.random,
        "thread": vars(threading.Thread)["start"],
        "socket": vars(socket.socket)["__init__"],
        "getrandbits": vars(random.SystemRandom)["getrandbits"],
        "seed": vars(random.Random)["__init__"],
    }


def test_last_uninstall_restores_exactly_what_was_there() -> None:
    before = _standing()

    _guarded.install_guards()
    _guarded.install_guards()
    _guarded.uninstall_guards()
    still = _standing()
    installed_after_one = guards.is_installed()
    _guarded.uninstall_guards()
    _guarded.uninstall_guards()

    assert installed_after_one
    assert all(still[name] is not before[name] for name in before)
    assert _standing() == before
    assert all(_standing()[name] is before[name] for name in before)


def test_inherited_method_is_restored_by_deleting_the_replacement() -> None:
    class Base:
        def work(self) -> int:
            return 1

    class Child(Base):
        pass

    guards.install([Refusal(Child, "work", RESTRICTIONS["time.time"])])
    during = "work" in vars(Child)
    guards.uninstall()

    assert during
    assert "work" not in vars(Child)
    assert Child().work() == 1


def test_replacement_that_another_tool_made_meanwhile_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    original = time.time
    _guarded.install_guards()
    guard = time.time
    monkeypatch.setattr(time, "time", lambda: guard() + 1)

    _guarded.uninstall_guards()

    with workflow_code():
        assert time.time() > original()
    monkeypatch.undo()
    time.time = original


@pytest.mark.usefixtures("guarded")
def test_guard_looks_and_copies_like_what_it_stands_for() -> None:
    class Formatter:
        converter = time.localtime

    assert time.time.__name__ == "time"
    assert time.time.__module__ == "time"
    assert open is io.open
    assert pickle.loads(pickle.dumps(time.time)) is time.time
    assert pickle.loads(pickle.dumps(uuid.uuid4)) is uuid.uuid4
    assert copy.deepcopy([time.monotonic]) == [time.monotonic]
    assert "file" in inspect.signature(open).parameters
    assert Formatter().converter(0).tm_year in {1969, 1970}
    assert isinstance(threading.Thread(), threading.Thread)
    assert issubclass(socket.SocketType, object)


def test_every_runtime_target_is_a_restriction_the_scan_knows_too() -> None:
    targets = _guarded.runtime_targets()

    names = {target.restriction.name for target in targets if isinstance(target, Refusal)}
    assert len(names) > 60
    assert names <= set(RESTRICTIONS)


@dataclass
class _Stamped:
    at: float = 0.0
    id: str = field(default_factory=secrets.token_hex)


@pytest.mark.usefixtures("guarded")
def test_generated_constructor_is_blamed_on_the_line_that_called_it() -> None:
    def flow() -> _Stamped:
        return _Stamped(at=1.0)

    error = refused(flow)

    # The field kept the unguarded token_hex; what that calls is refused.
    assert error.what == "secrets.token_bytes()"
    assert error.where == f"{__file__}:{inspect.getsourcelines(flow)[1] + 1}"
