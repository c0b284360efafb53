"""Histories that chain and yet break a rule of the log."""

import pytest

from perdure_history.events import (
    ActivityTaskAttemptFailed,
    ActivityTaskCanceled,
    ActivityTaskCancelRequested,
    ActivityTaskCompleted,
    ActivityTaskScheduled,
    TimerCanceled,
    TimerFired,
    TimerStarted,
    WorkflowExecutionCompleted,
    WorkflowExecutionSignaled,
    WorkflowTaskFailed,
)
from perdure_history.failures import Failure
from perdure_history.records import RunStatus
from perdure_history.verification import verify_rows
from tests.laws.history_strategies import NULL, RUN_ID, sealed, started

ACTIVITY = ActivityTaskScheduled(activity_type="a", activity_id="1")
TIMER = TimerStarted(delay_us=1, fire_at=2)
FAILURE = Failure(message="x")
NOTE = WorkflowTaskFailed(failure=FAILURE)


def done(seq):
    return ActivityTaskCompleted(scheduled_seq=seq, result=NULL)


def signal(request_id="r", delivered=True):
    return WorkflowExecutionSignaled(signal_name="s", request_id=request_id, delivered=delivered)


@pytest.mark.parametrize(
    ("what", "seq", "events"),
    [
        ("first event is WorkflowExecutionSignaled", 1, [(signal(), 1)]),
        ("starts a second time", 2, [(started(), 1), (started(), 2)]),
        ("second outcome", 4, [(started(), 1), (ACTIVITY, 1), (done(2), 2), (done(2), 3)]),
        (
            "second outcome",
            4,
            [(started(), 1), (ACTIVITY, 1), (done(2), 2), (ActivityTaskCanceled(scheduled_seq=2), 2)],
        ),
        ("no activity was scheduled by event 7", 2, [(started(), 1), (done(7), 1)]),
        ("no activity was scheduled by event 2", 3, [(started(), 1), (TIMER, 1), (done(2), 2)]),
        ("no activity", 2, [(started(), 1), (ActivityTaskCancelRequested(scheduled_seq=9), 1)]),
        (
            "no activity",
            2,
            [
                (started(), 1),
                (
                    ActivityTaskAttemptFailed(scheduled_seq=9, attempt=1, failure=FAILURE, next_attempt_at=0),
                    None,
                ),
            ],
        ),
        (
            "second end of the timer",
            4,
            [(started(), 1), (TIMER, 1), (TimerFired(timer_seq=2), 2), (TimerFired(timer_seq=2), 3)],
        ),
        (
            "second end of the timer",
            4,
            [(started(), 1), (TIMER, 1), (TimerCanceled(timer_seq=2), 1), (TimerFired(timer_seq=2), 2)],
        ),
        ("no timer", 2, [(started(), 1), (TimerFired(timer_seq=5), 1)]),
        ("belongs to turn 1", 4, [(started(), 1), (signal("a"), 2), (TIMER, 2), (signal("b"), 1)]),
        ("belongs to turn 3", 2, [(started(), 1), (signal(), 3)]),
        ("belongs to turn 2; turn 0", 1, [(started(), 2)]),
        ("begins with TimerStarted", 2, [(started(), 1), (TIMER, 2)]),
        ("input behind the commands", 3, [(started(), 1), (TIMER, 1), (signal(), 1)]),
        ("is a command", 2, [(started(), 1), (TIMER, None)]),
        ("is a note", 2, [(started(), 1), (NOTE, 1)]),
        ("'r' was taken before", 3, [(started(), 1), (signal(), 2), (signal(), 3)]),
        ("'r' was taken before", 3, [(started(), 1), (signal(), 2), (signal(delivered=False), None)]),
        ("stands after", 3, [(started(), 1), (WorkflowExecutionCompleted(result=NULL), 1), (NOTE, None)]),
    ],
)
def test_a_broken_rule_is_reported_at_its_event(what, seq, events):
    defects = verify_rows(RUN_ID, sealed(RUN_ID, events))

    assert len(defects) == 1
    assert (defects[0].run_id, defects[0].seq) == (RUN_ID, seq)
    assert what in defects[0].what


@pytest.mark.parametrize(
    "events",
    [
        [(started(), 1), (NOTE, None), (signal("a"), 1), (TIMER, 1)],
        [(started(), 1), (TIMER, 1), (signal("a"), 2), (NOTE, None), (signal("b"), 2), (TIMER, 2)],
        [(started(), 1), (signal("late", delivered=False), None)],
    ],
    ids=["a first turn that failed and was tried again", "a later turn that did", "a late signal"],
)
def test_a_turn_that_stayed_open_is_no_defect(events):
    assert verify_rows(RUN_ID, sealed(RUN_ID, events)) == []


def test_an_empty_history_is_a_defect():
    assert [defect.seq for defect in verify_rows(RUN_ID, [])] == [0]


def test_a_running_run_needs_no_end():
    rows = sealed(RUN_ID, [(started(), 1)])

    assert verify_rows(RUN_ID, rows, closed_status=RunStatus.RUNNING) == []
