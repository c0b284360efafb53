"""A history that Python 3.11 wrote replays on every supported Python."""

from collections.abc import Iterator

import pytest

from perdure import _guarded
from perdure_history.events import WorkflowExecutionCompleted
from tests.recorded_histories.waiting_flow import DEFINITION, recorded, written
from tests.replayer.driver import assert_replays


@pytest.fixture
def guarded() -> Iterator[None]:
    _guarded.install_guards()
    yield
    _guarded.uninstall_guards()


@pytest.mark.usefixtures("guarded")
def test_history_of_python_3_11_replays_on_this_python() -> None:
    history = recorded()

    assert isinstance(history[-1].event, WorkflowExecutionCompleted)
    assert_replays(DEFINITION, history)


def test_this_python_writes_the_history_that_python_3_11_wrote() -> None:
    assert written() == recorded()
