"""The steps that `perdure show` tells are read from the history alone."""

import msgspec
import pytest

from perdure.cli._steps import Timeline, failure_text, shown_value
from perdure.cli._tree import lines_of, tree_of
from perdure.cli._workers import Workforce, overdue_text
from perdure_history.chain import GENESIS, seal
from perdure_history.events import (
    ActivityTaskAttemptFailed,
    ActivityTaskCompleted,
    ActivityTaskScheduled,
    TimerFired,
    TimerStarted,
    WorkflowExecutionCompleted,
    WorkflowExecutionFailed,
    WorkflowExecutionSignaled,
    WorkflowExecutionStarted,
)
from perdure_history.failures import Failure
from perdure_history.payloads import Payload
from perdure_history.records import RunRecord, RunStatus, WorkerRecord

RUN = "0192aaaa-0000-7000-8000-000000000001"
SECOND = 1_000_000


def payload(value):
    return Payload(json=msgspec.Raw(msgspec.json.encode(value)))


def started():
    return WorkflowExecutionStarted(
        workflow_type="order_flow",
        workflow_id="order-1",
        namespace="default",
        task_queue="q",
        input=(payload({"id": 1}),),
        seed="00",
    )


def rows_of(*events):
    """Rows one second apart, so that durations can be told."""
    rows, seq, previous = [], 0, GENESIS
    for event in events:
        row = seal(
            RUN, [(event, 1, "anna")], prev_seq=seq, prev_hash=previous, recorded_at=(seq + 1) * SECOND
        )[0]
        rows.append(row)
        seq, previous = row.seq, row.hash
    return rows


def timeline_of(*events):
    timeline = Timeline()
    timeline.add(rows_of(*events), run_id=RUN)
    return timeline


def record(status=RunStatus.RUNNING, **changes):
    fields = {
        "run_id": RUN, "namespace": "default", "workflow_id": "order-1", "nth": 1, "workflow_type": "order_flow",
        "task_queue": "q", "status": status, "started_at": SECOND, "owner": "w1",
    }  # fmt: skip
    return RunRecord(**fields | changes)


def test_an_activity_counts_its_attempts_and_keeps_why_they_failed():
    timeline = timeline_of(
        started(),
        ActivityTaskScheduled(activity_type="charge", activity_id="1", input=(payload("x"),)),
        ActivityTaskAttemptFailed(
            scheduled_seq=2, attempt=1, failure=Failure(message="no", type="Down"), next_attempt_at=9 * SECOND
        ),
        ActivityTaskCompleted(scheduled_seq=2, result=payload("ok"), attempt=2),
    )

    (step,) = timeline.steps.values()

    assert (step.kind, step.name, step.status, step.attempts, step.result) == (
        "activity",
        "charge",
        "completed",
        2,
        "ok",
    )
    assert step.duration_us == 2 * SECOND
    assert [attempt.failure for attempt in step.failed_attempts] == ["Down: no"]


def test_an_open_run_waits_for_its_open_timers_and_activities():
    timeline = timeline_of(
        started(),
        TimerStarted(delay_us=60 * SECOND, fire_at=62 * SECOND),
        ActivityTaskScheduled(activity_type="charge", activity_id="1"),
    )

    waits = [step.name for step in timeline.waits_for()]
    text = "\n".join(lines_of(tree_of(record(), timeline, now=4 * SECOND)))

    assert waits == ["sleep", "charge"]
    assert "due in 58.00s" in text
    assert "waits for" in text


def test_a_closed_run_waits_for_nothing_even_if_a_timer_never_fired():
    timeline = timeline_of(
        started(),
        TimerStarted(delay_us=60 * SECOND, fire_at=62 * SECOND),
        WorkflowExecutionCompleted(result=payload(7)),
    )

    text = "\n".join(lines_of(tree_of(record(RunStatus.COMPLETED), timeline, now=99 * SECOND)))

    assert timeline.waits_for() == []
    assert timeline.result == 7
    assert "waits for" not in text


def test_signals_timers_and_the_end_are_told_in_order():
    timeline = timeline_of(
        started(),
        TimerStarted(delay_us=SECOND, fire_at=3 * SECOND),
        WorkflowExecutionSignaled(signal_name="approve", input=(payload("dana"),), request_id="r"),
        TimerFired(timer_seq=2),
        WorkflowExecutionFailed(failure=Failure(message="no stock", type="OutOfStock")),
    )

    lines = lines_of(tree_of(record(RunStatus.FAILED), timeline, now=0))

    assert [step.kind for step in timeline.steps.values()] == ["timer", "signal"]
    assert "approve" in lines[3]
    assert "OutOfStock: no stock" in lines[-1]


def test_a_run_that_nobody_holds_waits_for_a_worker():
    timeline = timeline_of(started())

    lines = lines_of(tree_of(record(owner=None, wake_at=0), timeline, now=SECOND))

    assert lines[-1].endswith("a worker")


@pytest.mark.parametrize(
    ("queues", "now", "said"),
    [
        ("other", 9 * SECOND, "none that is alive serves the task queue 'q'"),
        ("other\nq", 9 * SECOND, "check its name; or they have no room"),
        ("q", 2 * SECOND, "a worker"),
    ],
)
def test_a_run_that_waits_for_a_worker_says_why_none_takes_it(queues, now, said):
    workforce = Workforce(
        [WorkerRecord(incarnation="w1", identity="w", task_queues=queues, started_at=0)], []
    )

    lines = lines_of(
        tree_of(record(owner=None, wake_at=0), timeline_of(started()), now=now, workforce=workforce)
    )

    assert lines[-1].endswith(said)


def test_how_long_runs_wait_for_a_worker_leaves_out_those_that_are_due_at_once():
    runs = [record(owner=None, wake_at=at) for at in (0, SECOND, 5 * SECOND)]

    assert overdue_text(runs, 9 * SECOND) == "2 for up to 8.00s, 1 due at once"
    assert overdue_text(runs[:1], 9 * SECOND) == "1 due at once"


def test_adding_rows_in_two_parts_gives_the_same_timeline_as_adding_them_at_once():
    rows = rows_of(
        started(),
        ActivityTaskScheduled(activity_type="charge", activity_id="1"),
        ActivityTaskCompleted(scheduled_seq=2, result=payload("ok")),
    )
    whole, parts = Timeline(), Timeline()

    whole.add(rows, run_id=RUN)
    parts.add(rows[:2], run_id=RUN)
    parts.add(rows[2:], run_id=RUN)

    assert whole == parts


def test_a_failure_is_told_with_its_causes():
    failure = Failure(
        message="step failed", type="ActivityError", cause=Failure(message="refused", type="CardError")
    )

    assert failure_text(failure) == "ActivityError: step failed <- CardError: refused"


def test_a_value_that_is_not_json_is_named_and_not_dumped():
    assert shown_value(Payload(encoding="binary/plain", data=b"abc")) == "<binary/plain, 3 bytes>"
    assert shown_value(payload({"a": [1, None]})) == {"a": [1, None]}
