"""What a turn is: inputs first, commands after, one time, and nothing without an input."""

import asyncio
from collections.abc import Sequence

import pytest

from perdure_history.errors import CorruptHistoryError
from perdure_history.events import (
    ActivityTaskAttemptFailed,
    ActivityTaskCompleted,
    ActivityTaskScheduled,
    Event,
    TimerFired,
    WorkflowExecutionCompleted,
    WorkflowExecutionTerminated,
    WorkflowTaskFailed,
    WorkflowTaskStarted,
)
from perdure_history.failures import Failure
from perdure_replayer.errors import BrokenRunError, TurnFailedError, UnknownReplayFormatError
from perdure_replayer.turn import HistoryEvent, LiveRun, run_turn
from tests.replayer.driver import (
    CONVERTER,
    RUN_ID,
    START,
    Driver,
    activity,
    assert_replays,
    class_workflow,
    function_workflow,
    here,
    payload,
    signal,
    start_event,
)


async def two_steps() -> list[int]:
    seen = [here().history_length(), here().time_us() - START]
    await activity("one")
    seen += [here().history_length(), here().time_us() - START]
    await activity("two")
    return [*seen, here().history_length(), here().started_at_us() - START]


TWO_STEPS = function_workflow(two_steps)


def test_turn_without_news_is_refused() -> None:
    """D1: a turn has at least one input."""
    driver = Driver(TWO_STEPS)

    with pytest.raises(BrokenRunError, match="at least one event"):
        driver.run.advance([], now=START)


def test_turn_needs_no_loop_no_database_and_no_worker() -> None:
    history = [HistoryEvent(1, 1, START, start_event(TWO_STEPS))]

    turn = run_turn(TWO_STEPS, history, [], converter=CONVERTER, run_id=RUN_ID, now=START + 5)

    assert (turn.number, turn.time, turn.first_seq, turn.inputs) == (1, START + 5, 2, ())
    assert [type(event) for event in turn.outputs] == [ActivityTaskScheduled]


def test_code_sees_the_same_time_and_length_live_and_on_replay() -> None:
    driver = Driver(TWO_STEPS)

    driver.complete("one")
    driver.complete("two")

    assert driver.result() == [1, 0, 3, 1_000_000, 5, 0]
    assert_replays(TWO_STEPS, driver.history)


def test_time_never_goes_backwards() -> None:
    driver = Driver(TWO_STEPS)
    driver.now = START - 3_600_000_000

    turn = driver.complete("one")

    assert turn.time == START


def test_first_turn_without_commands_records_its_time() -> None:
    class Waits:
        async def run(self) -> list[object]:
            self.lengths = here().history_length()
            await here().wait_condition(lambda: hasattr(self, "word"))
            return [here().started_at_us() - START, self.lengths, here().history_length()]

        def say(self, word: str) -> None:
            self.word = word

    definition = class_workflow(Waits, signals=["say"])
    history = [HistoryEvent(1, 1, START, start_event(definition))]
    run = LiveRun(RUN_ID, definition, CONVERTER)

    run.head_seq = 1

    turn = run.advance([history[0].event], now=START + 7, recorded=1)

    assert (turn.first_seq, turn.inputs, turn.outputs) == (2, (WorkflowTaskStarted(),), ())
    history.append(HistoryEvent(2, 1, turn.time, turn.inputs[0]))
    for live in (run, LiveRun(RUN_ID, definition, CONVERTER)):
        if live is not run:
            live.replay(history)
        said = live.advance([signal("say", "go")], now=START + 9)
        assert (said.number, said.first_seq) == (2, 3)
        assert said.outputs == (WorkflowExecutionCompleted(result=payload([7, 1, 3])),)


def test_open_turn_is_computed_over_the_inputs_and_notes_that_stand_already() -> None:
    driver = Driver(TWO_STEPS)
    completed = driver.completed("one", 1)
    seq = driver.run.head_seq
    failed = WorkflowTaskFailed(failure=Failure(message="bug"))
    run = driver.load()
    run.note(seq + 2, failed)

    turn = run.advance([completed, signal("extra")], now=START + 9, recorded=1)

    assert turn.first_seq == seq + 3
    assert turn.inputs == (signal("extra"),)
    rows: Sequence[tuple[int | None, int, Event]] = [
        (2, START + 8, completed),
        (None, START + 8, failed),
        *((2, turn.time, event) for event in (*turn.inputs, *turn.outputs)),
    ]
    history = [*driver.history, *(HistoryEvent(seq + 1 + place, *row) for place, row in enumerate(rows))]
    LiveRun(RUN_ID, TWO_STEPS, CONVERTER).replay(history)


def test_notes_before_and_behind_an_open_turn_do_not_count_as_its_inputs() -> None:
    driver = Driver(TWO_STEPS)
    completed = driver.completed("one", 1)
    seq = driver.run.head_seq
    note = WorkflowTaskFailed(failure=Failure(message="bug"))
    run = driver.load()
    run.note(seq + 1, note)
    run.note(seq + 3, note)

    turn = run.advance([completed], now=START + 9, recorded=1)
    done = run.advance(
        [ActivityTaskCompleted(scheduled_seq=turn.first_seq, result=payload(2))], now=START + 9
    )

    assert turn.first_seq == seq + 4
    assert done.outputs == (WorkflowExecutionCompleted(result=payload([1, 0, seq + 2, 9, seq + 5, 0])),)


def test_commands_that_were_cancelled_in_their_turn_leave_no_trace() -> None:
    """D5: `seq` is known only at the turn's end, and nothing that code sees derives from it."""

    async def fickle() -> list[str]:
        seen: list[str] = []
        for _ in range(2):
            dropped = activity("dropped")
            timer = here().start_timer(5_000_000)
            dropped.cancel()
            timer.cancel()
            for one in (dropped, timer):
                try:
                    await one
                except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # what a cancelled one raises
                    seen.append(type(error).__name__)
        return [*seen, await activity("kept")]

    driver = Driver(function_workflow(fickle))

    driver.complete("kept", "k")

    assert driver.outputs() == [
        "WorkflowExecutionStarted", "ActivityTaskScheduled", "ActivityTaskCompleted", "WorkflowExecutionCompleted",
    ]  # fmt: skip
    assert driver.result() == ["AppError", "CancelledError", "AppError", "CancelledError", "k"]
    assert_replays(driver.definition, driver.history)


def test_cancelling_twice_asks_once() -> None:
    async def twice() -> str:
        timer, slow = here().start_timer(60_000_000), activity("slow", cancellation_type=1)
        await activity("go")
        for one in (timer, slow, timer, slow):
            one.cancel()
        return str(await slow)

    driver = Driver(function_workflow(twice))

    driver.complete("go")
    driver.complete("slow", "done anyway")

    assert driver.outputs().count("ActivityTaskCancelRequested") == 1
    assert driver.outputs().count("TimerCanceled") == 1
    assert driver.result() == "done anyway"
    assert_replays(driver.definition, driver.history)


def test_projections_are_exact_after_replay_and_after_advance() -> None:
    async def waits() -> None:
        slow, timer = activity("slow"), here().start_timer(9_000_000)
        await activity("go")
        slow.cancel()
        await timer

    driver = Driver(function_workflow(waits))
    driver.complete("go")
    failure = Failure(message="flaky")
    note = ActivityTaskAttemptFailed(
        scheduled_seq=2, attempt=1, failure=failure, next_attempt_at=START + 3, lost_worker="w1"
    )
    seq = driver.run.head_seq + 1
    driver.run.note(seq, note)
    driver.history.append(HistoryEvent(seq, None, START, note))

    again = driver.load()

    assert again.activities == driver.run.activities
    assert again.timers == driver.run.timers == {3: START + 9_000_000}
    assert again.head_seq == driver.run.head_seq == seq
    pending = again.activities[2]
    assert (pending.attempt, pending.next_attempt_at, pending.last_failure) == (2, START + 3, failure)
    assert (pending.scheduled_at, pending.cancel_requested, pending.lost_workers) == (START, True, {"w1"})


def test_endless_loop_fails_the_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    async def spin() -> None:
        while True:
            await asyncio.sleep(0)

    monkeypatch.setattr("perdure_replayer.loop.MAX_CALLBACKS_PER_TURN", 1000)

    with pytest.raises(TurnFailedError, match="without waiting for an activity"):
        Driver(function_workflow(spin))


def test_broken_run_is_not_used_again() -> None:
    async def raises() -> None:
        raise ValueError("bug")

    definition = class_workflow(type("Raises", (), {"run": lambda self: raises()}))
    run = LiveRun(RUN_ID, definition, CONVERTER)

    with pytest.raises(TurnFailedError) as failed:
        run.advance([start_event(definition)], now=START)

    assert isinstance(failed.value.__cause__, ValueError)
    with pytest.raises(BrokenRunError, match="Evict"):
        run.advance([signal("again")], now=START)


def test_newer_replay_format_is_refused() -> None:
    start = start_event(TWO_STEPS)
    newer = type(start)(
        workflow_type="two_steps", workflow_id="w", namespace="n", task_queue="q", seed="1", replay_format=99
    )

    with pytest.raises(UnknownReplayFormatError, match="format 99"):
        LiveRun(RUN_ID, TWO_STEPS, CONVERTER).advance([newer], now=START)


def _row(seq: int, turn: int | None, event: Event) -> HistoryEvent:
    return HistoryEvent(seq, turn, START, event)


_DONE = ActivityTaskCompleted(scheduled_seq=2, result=payload(1))


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([_row(4, 2, _DONE)], "missing"),
        ([_row(3, 3, _DONE), _row(4, 4, _DONE)], "turn 2 is next"),
        ([_row(3, 2, TimerFired(timer_seq=2)), _row(4, 3, _DONE)], "no timer"),
        ([_row(3, 2, ActivityTaskCompleted(scheduled_seq=1, result=payload(1))), _row(4, 3, _DONE)], "no activity"),
        ([_row(3, 2, WorkflowExecutionCompleted(result=payload(1)))], "has no input"),
        ([_row(3, None, WorkflowExecutionTerminated()), _row(4, 2, _DONE)], "closed the run"),
        ([_row(3, 2, start_event(TWO_STEPS))], "cannot be input"),
    ],
)  # fmt: skip
def test_rows_that_cannot_be_a_history_are_refused(rows: list[HistoryEvent], why: str) -> None:
    driver = Driver(TWO_STEPS)

    with pytest.raises(CorruptHistoryError, match=why):
        driver.run.replay(rows)
