"""The demo's own check finds planted losses and duplicates; otherwise its silence would mean nothing."""

import sys
from importlib import import_module
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "examples" / "crash_recovery"


@pytest.fixture
def problems(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    yield import_module("check").problems
    sys.modules.pop("check", None)


def event(seq, kind, **more):
    base = {
        "workflow_id": "order-1",
        "run_id": "r1",
        "activity_type": None,
        "scheduled_seq": None,
        "signal_name": None,
    }
    return base | {"seq": seq, "type": kind} | more


def history():
    events = [
        event(1, "WorkflowExecutionStarted"),
        event(2, "WorkflowExecutionSignaled", signal_name="approve"),
    ]
    for step in ("charge", "reserve", "ship"):
        seq = len(events) + 1
        events.append(event(seq, "ActivityTaskScheduled", activity_type=step))
        events.append(event(seq + 1, "ActivityTaskCompleted", activity_type=step, scheduled_seq=seq))
    events.append(event(len(events) + 1, "WorkflowExecutionCompleted"))
    return events


def log():
    said = [{"what": "started", "order": "order-1", "run_id": "r1"}, {"what": "signaled", "order": "order-1"}]
    for step in ("charge", "reserve", "ship"):
        said.append({"what": "begin", "order": "order-1", "step": step, "key": f"k-{step}"})
        said.append({"what": "done", "order": "order-1", "step": step, "key": f"k-{step}"})
    return said


def renumbered(events):
    return [one | {"seq": number} for number, one in enumerate(events, 1)]


def test_a_whole_history_has_no_problems(problems):
    assert problems(log(), history(), ["order-1"]) == []


def test_a_step_that_was_tried_twice_and_recorded_once_is_no_problem(problems):
    repeated = [*log(), {"what": "begin", "order": "order-1", "step": "ship", "key": "k-ship"}]

    assert problems(repeated, history(), ["order-1"]) == []


def damaged():
    good = history()
    duplicate = event(10, "ActivityTaskCompleted", activity_type="ship", scheduled_seq=7)
    yield "the run is lost", log(), []
    yield "the signal is lost", log(), [one for one in good if one["type"] != "WorkflowExecutionSignaled"]
    yield "the signal is there twice", log(), renumbered([*good[:2], good[1], *good[2:]])
    yield "a completion is lost", log(), [one for one in good if one["seq"] != 8]
    yield "a completion is there twice", log(), [*good[:8], duplicate | {"seq": 9}, good[8] | {"seq": 10}]
    yield (
        "a step is asked for twice",
        log(),
        renumbered([*good[:8], event(9, "ActivityTaskScheduled", activity_type="ship"), *good[8:]]),
    )
    yield "the end is lost", log(), good[:-1]
    yield "there are two ends", log(), renumbered([*good, good[-1]])
    yield "another run took its place", log(), [one | {"run_id": "r2"} for one in good]
    yield "a completion that nobody worked for", [one for one in log() if one != log()[-1]], good
    yield (
        "a step under two keys",
        [*log(), {"what": "begin", "order": "order-1", "step": "ship", "key": "other"}],
        good,
    )


@pytest.mark.parametrize(("what", "said", "events"), [pytest.param(*case, id=case[0]) for case in damaged()])
def test_planted_damage_is_found(problems, what, said, events):
    assert problems(said, events, ["order-1"]), what
