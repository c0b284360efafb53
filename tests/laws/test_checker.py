"""The checker finds each kind of planted damage in healthy tables, and nothing in healthy ones."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from perdure_history.events import (
    ActivityTaskAttemptFailed,
    ActivityTaskCompleted,
    ActivityTaskScheduled,
    Event,
    TimerFired,
    TimerStarted,
    WorkflowExecutionCompleted,
    WorkflowExecutionSignaled,
    WorkflowExecutionStarted,
    WorkflowExecutionTerminated,
    WorkflowTaskStarted,
)
from perdure_history.records import Message, RunStatus
from tests.checker import Ack, Dump, Kind, check
from tests.stories import OWNER, Story, World, healthy_worlds, json_payload, rechained

replace = msgspec.structs.replace


def kinds(world: World, *, earlier: Dump | None = None) -> set[Kind]:
    return {violation.kind for violation in check(world.dump(), world.acks, earlier=earlier)}


def one(events: list[tuple[Event, int | None]], *classes: type) -> int | None:
    """Index of the last event of one of these classes."""
    found = [index for index, (event, _) in enumerate(events) if isinstance(event, classes)]
    return found[-1] if found else None


def small_world() -> World:
    """One closed run with an activity that was retried, a timer and two signals; one open run that waits."""
    closed = Story("closed")
    closed.act("schedule", "start_timer")
    closed.act("fail_attempt", "complete", "signal", "signal", "fire", "schedule", "complete", "close")
    open_ = Story("open")
    open_.act("schedule", "complete", "signal", "start_timer", "schedule", "send")
    return World([closed, open_])


@given(healthy_worlds())
@settings(max_examples=150, deadline=None)
def test_healthy_tables_raise_no_alarm(world):
    assert check(world.dump(), world.acks, earlier=world.earlier()) == []


@given(healthy_worlds(), st.data())
@settings(max_examples=150, deadline=None)
def test_any_one_event_that_is_dropped_is_missed(world, data):
    story = data.draw(st.sampled_from(world.stories))
    gone = data.draw(st.integers(0, len(story.events) - 1))
    before = world.dump()
    world.tamper(story, lambda rows: rows[:gone] + rows[gone + 1 :])

    found = kinds(world, earlier=before)

    assert Kind.CHANGED in found
    if gone < len(story.events) - 1:
        assert {Kind.GAP, Kind.CHAIN} <= found


@given(healthy_worlds(), st.data())
@settings(max_examples=150, deadline=None)
def test_an_acknowledged_message_that_is_dropped_is_lost_even_when_all_else_is_made_to_fit(world, data):
    carriers = [
        s for s in world.stories if any(isinstance(e, WorkflowExecutionSignaled) for e, _ in s.events)
    ]
    if not carriers:
        return
    story = data.draw(st.sampled_from(carriers))
    index = one(story.events, WorkflowExecutionSignaled)
    # Only the message goes; everything behind it is numbered and chained anew, as a buggy engine would do it.
    del story.events[index]
    story.renumber(index + 1)

    assert Kind.LOST in kinds(world)


@given(healthy_worlds(), st.data())
@settings(max_examples=150, deadline=None)
def test_any_row_whose_bytes_change_breaks_the_chain(world, data):
    story = data.draw(st.sampled_from(world.stories))
    index = data.draw(st.integers(0, len(story.events) - 1))
    change = data.draw(
        st.sampled_from(
            [
                lambda row: replace(row, attributes=row.attributes.replace("}", ' "x":1}', 1)),
                lambda row: replace(row, actor=row.actor + "x"),
                lambda row: replace(row, recorded_at=row.recorded_at + 1),
                lambda row: replace(row, hash=bytes([row.hash[0] ^ 1]) + row.hash[1:]),
                lambda row: replace(row, turn=None if row.turn else 1),
            ]
        )
    )
    world.tamper(story, lambda rows: [*rows[:index], change(rows[index]), *rows[index + 1 :]])

    assert Kind.CHAIN in kinds(world)


@given(healthy_worlds(), st.data())
@settings(max_examples=150, deadline=None)
def test_any_answer_that_is_recorded_again_is_found_though_the_chain_is_whole(world, data):
    answers = [
        (story, pair)
        for story in world.stories
        for pair in story.events
        if hasattr(pair[0], "scheduled_seq")
        or hasattr(pair[0], "timer_seq")
        or hasattr(pair[0], "request_id")
        if not isinstance(pair[0], WorkflowExecutionStarted | WorkflowExecutionTerminated)
    ]
    if not answers:
        return
    story, (event, turn) = data.draw(st.sampled_from(answers))
    end = len(story.events) - (1 if story.closed else 0)
    story.events.insert(end, (event, None if turn is None else story.turn + 1))

    assert Kind.TWICE in kinds(world)


@pytest.mark.parametrize(
    "again", [ActivityTaskCompleted, TimerFired, WorkflowExecutionSignaled, ActivityTaskAttemptFailed]
)
def test_what_is_recorded_twice_is_found_though_the_chain_is_whole(again):
    world = small_world()
    story = world.stories[0]
    index = one(story.events, again)
    event, turn = story.events[index]
    story.events.insert(-2, (event, None if turn is None else story.events[-2][1]))

    assert Kind.TWICE in kinds(world)


def test_the_same_row_twice_is_found():
    world = small_world()
    world.tamper(world.stories[0], lambda rows: [*rows[:3], rows[2], *rows[3:]])

    assert Kind.TWICE in kinds(world)


def test_a_second_open_run_of_one_workflow_id_is_found():
    world = small_world()
    twin = Story("twin", workflow_id="wf-open")
    world.stories.append(twin)

    assert Kind.TWICE in kinds(world)


def test_one_start_request_that_made_two_runs_is_found():
    world = small_world()
    world.edit(world.stories[0], request_id="same")
    world.edit(world.stories[1], request_id="same")

    assert Kind.TWICE in kinds(world)


def test_an_event_behind_the_closing_event_is_found():
    world = small_world()
    world.stories[0].events.append((WorkflowTaskStarted(), world.stories[0].turn))

    assert Kind.AFTER_END in kinds(world)


def test_a_message_left_in_the_inbox_of_a_closed_run_is_found():
    world = small_world()
    world.stories[0].inbox.append(world.stories[0].message("late"))

    assert Kind.AFTER_END in kinds(world)


def test_a_message_that_overtook_another_is_found():
    world = small_world()
    story = world.stories[0]
    first, second = (i for i, (e, _) in enumerate(story.events) if isinstance(e, WorkflowExecutionSignaled))
    (early, turn), (late, next_turn) = story.events[first], story.events[second]
    story.events[first], story.events[second] = (late, turn), (early, next_turn)

    assert kinds(world) == {Kind.ORDER}


def test_time_that_runs_backwards_is_found():
    world = small_world()
    story = world.stories[0]
    story.times[one(story.events, ActivityTaskCompleted)] -= 3_600_000_000

    assert Kind.ORDER in kinds(world)


def test_an_acknowledged_start_without_a_run_is_lost():
    world = small_world()
    del world.stories[1]

    assert kinds(world) == {Kind.LOST}


def test_a_run_without_its_history_is_lost():
    world = small_world()
    world.tamper(world.stories[0], lambda rows: [])

    assert Kind.LOST in kinds(world)


def test_an_acknowledged_message_that_left_the_inbox_untaken_is_lost():
    world = small_world()
    world.stories[1].inbox.clear()

    assert kinds(world) == {Kind.LOST}


def test_a_history_without_a_run_is_found():
    world = small_world()
    before = world.dump()

    found = check(replace(before, runs=before.runs[:1]))

    assert {violation.kind for violation in found} == {Kind.SUMMARY}


@pytest.mark.parametrize(
    "edit",
    [
        {"status": RunStatus.FAILED},
        {"status": RunStatus.RUNNING},
        {"closed_at": None},
        {"history_length": 3},
        {"owner": OWNER},
        {"wake_at": 5},
        {"workflow_type": "other"},
        {"task_queue": "other"},
    ],
)
def test_a_summary_that_does_not_follow_from_its_history_is_found(edit):
    world = small_world()
    world.edit(world.stories[0], **edit)

    assert Kind.SUMMARY in kinds(world)


@pytest.mark.parametrize(
    "edit",
    [
        {"owner": None, "wake_at": None},
        {"owner": "someone-dead", "wake_at": None},
        {"owner": "someone-unknown", "wake_at": None},
        {"owner": None, "wake_at": 1 << 60},
    ],
)
def test_an_open_run_that_nobody_would_wake_is_found(edit):
    world = small_world()
    world.edit(world.stories[1], **edit)

    assert kinds(world) == {Kind.STUCK}


def test_a_message_that_waits_for_a_released_run_is_stuck():
    story = Story("idle")
    story.act("schedule", "complete")
    world = World([story])
    world.edit(story, owner=None, wake_at=None)
    assert kinds(world) == set()

    story.act("send")

    assert kinds(world) == {Kind.STUCK}


def test_a_closed_run_that_changed_between_two_dumps_is_found():
    world = small_world()
    before = world.dump()
    world.edit(world.stories[0], memo="{}")

    assert kinds(world, earlier=before) == {Kind.CHANGED}


def test_a_rewritten_history_is_found_though_its_chain_is_whole():
    world = small_world()
    before = world.dump()
    story = world.stories[0]
    index = one(story.events, ActivityTaskCompleted)
    event, turn = story.events[index]
    story.events[index] = (replace(event, result=json_payload("forged")), turn)

    assert kinds(world, earlier=before) == {Kind.CHANGED}


@pytest.mark.parametrize(
    "event",
    [
        ActivityTaskCompleted(scheduled_seq=99, result=json_payload(1)),
        TimerFired(timer_seq=99),
        ActivityTaskScheduled(activity_type="early", activity_id="1"),
    ],
)
def test_an_answer_to_nothing_or_a_command_without_a_cause_is_found(event):
    world = small_world()
    story = world.stories[1]
    story.events.append((event, story.turn + 1))

    assert Kind.UNFOUNDED in kinds(world)


def test_a_timer_that_fired_before_its_time_is_found():
    world = small_world()
    story = world.stories[0]
    index = one(story.events, TimerStarted)
    event, turn = story.events[index]
    story.events[index] = (replace(event, fire_at=1 << 60), turn)

    assert kinds(world) == {Kind.UNFOUNDED}


def test_a_refused_message_that_is_there_is_found():
    world = small_world()
    world.acks = [replace(ack, answer="refused") if ack.call == "signal" else ack for ack in world.acks]

    assert kinds(world) == {Kind.CLAIMED}


def test_a_result_that_the_history_does_not_have_is_found():
    world = small_world()
    world.acks.append(Ack(call="result", workflow_id="wf-closed", run_id="closed", key='"other"'))
    world.acks.append(Ack(call="result", workflow_id="wf-open", run_id="open", key='"early"'))

    assert [violation.kind for violation in check(world.dump(), world.acks)] == [Kind.CLAIMED] * 2


def test_an_acknowledged_termination_that_did_not_come_about_is_lost():
    world = small_world()
    world.acks.append(Ack(call="terminate", workflow_id="wf-open", run_id="open"))

    assert kinds(world) == {Kind.LOST}


def test_a_missing_turn_is_found():
    world = small_world()
    story = world.stories[0]
    story.events = [(event, turn + 1 if turn and turn > 1 else turn) for event, turn in story.events]

    assert Kind.GAP in kinds(world)


def test_the_story_is_told_as_the_engine_would():
    story = Story("told")
    story.act("schedule", "complete", "close")

    rows = rechained(story)

    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    assert isinstance(story.events[-1][0], WorkflowExecutionCompleted)
    assert isinstance(story.message("x"), Message)
