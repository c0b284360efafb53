"""Laws of replay over random workflows: prefixes, caches, notes and repetition change nothing."""

import asyncio
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from perdure_history.events import (
    ActivityTaskAttemptFailed,
    ActivityTaskFailed,
    Event,
    TimerFired,
    WorkflowExecutionSignaled,
    WorkflowTaskFailed,
)
from perdure_history.failures import Failure, RetryState
from perdure_replayer.turn import HistoryEvent, LiveRun
from tests.replayer.driver import (
    CONVERTER,
    RUN_ID,
    AppError,
    Driver,
    activity,
    assert_replays,
    cancel_request,
    class_workflow,
    here,
    payload,
    signal,
)

_STEPS = ["activity", "sleep", "timeout", "cancel", "random", "condition", "swallow"]
Program = list[Any]


def programs() -> st.SearchStrategy[Program]:
    """Trees of steps: a list runs in order, a tuple side by side."""
    return st.recursive(
        st.sampled_from(_STEPS),
        lambda inner: (
            st.lists(inner, min_size=1, max_size=3)
            | st.lists(inner, min_size=2, max_size=3).map(lambda many: {"together": many})
        ),
        max_leaves=8,
    )


class Interpreter:
    """Runs a program; everything that code can wait for is in it somewhere."""

    def __init__(self) -> None:
        self.pokes = 0
        self.trace: list[Any] = []

    async def run(self, program: Any) -> list[Any]:
        await self.execute(program)
        return self.trace

    async def poke(self) -> None:
        self.pokes += 1
        self.trace.append(await activity("poked", self.pokes))

    async def execute(self, step: Any) -> None:
        match step:
            case list():
                for one in step:
                    await self.execute(one)
            case {"together": many}:
                async with asyncio.TaskGroup() as group:
                    for one in many:
                        group.create_task(self.execute(one))
            case _:
                await getattr(self, step)()

    async def activity(self) -> None:
        self.trace.append(await activity("step", len(self.trace)))

    async def swallow(self) -> None:
        try:
            self.trace.append(await activity("may fail"))
        except AppError as error:
            self.trace.append(str(error))

    async def sleep(self) -> None:
        await asyncio.sleep(1 + here().random.random())

    async def timeout(self) -> None:
        try:
            async with asyncio.timeout(2):
                await asyncio.Event().wait()
        except TimeoutError:
            self.trace.append("late")

    async def cancel(self) -> None:
        slow, dropped = activity("slow", len(self.trace)), activity("dropped")
        dropped.cancel()
        task = asyncio.create_task(asyncio.sleep(50))
        await activity("go")
        for one in (slow, task):
            one.cancel()
        outcomes = await asyncio.gather(slow, task, return_exceptions=True)
        self.trace += [type(one).__name__ for one in outcomes]

    async def random(self) -> None:
        self.trace += [here().random.random(), str(here().uuid4()), str(here().uuid7())]

    async def condition(self) -> None:
        pokes = self.pokes
        try:
            await asyncio.wait_for(here().wait_condition(lambda: self.pokes > pokes), 5)
        except TimeoutError:
            self.trace.append("nobody")


DEFINITION = class_workflow(Interpreter, signals=["poke"])


def events_that_can_happen(driver: Driver) -> list[Event]:
    """One of everything that the world could do to the run now."""
    run = driver.run
    events: list[Event] = [TimerFired(timer_seq=seq) for seq in run.timers]
    failure = Failure(message="down", type="Down")
    for seq, pending in run.activities.items():
        if pending.scheduled.activity_type == "may fail":
            events.append(
                ActivityTaskFailed(
                    scheduled_seq=seq, failure=failure, retry_state=RetryState.MAXIMUM_ATTEMPTS_REACHED
                )
            )
        else:
            events.append(driver.completed(pending.scheduled.activity_type, seq))
    return events


def live(program: Program, chance: Any) -> Driver:
    """Drive a run in an order of events that `chance` decides."""
    driver = Driver(DEFINITION, program)
    for number in range(60):
        if driver.run.closed:
            break
        possible = events_that_can_happen(driver)
        if chance.random() < 0.15 or not possible:
            possible.append(signal("poke", request_id=f"poke-{number}"))
        if chance.random() < 0.02:
            possible.append(cancel_request())
        chance.shuffle(possible)
        news: dict[Any, Event] = {}
        for event in possible[: chance.choice([1, 1, 2, 3])]:
            news.setdefault(getattr(event, "scheduled_seq", None) or getattr(event, "timer_seq", None), event)
        if any(isinstance(event, TimerFired) for event in news.values()):
            driver.now = max(driver.now, *driver.run.timers.values())
        driver.step(*news.values())
    return driver


@settings(max_examples=60, deadline=None)
@given(program=programs(), chance=st.randoms(use_true_random=False))
def test_any_prefix_issues_exactly_the_recorded_commands(program: Program, chance: Any) -> None:
    """Law 1 and D1: for each prefix that ends a turn, the next turn comes out as recorded."""
    driver = live(program, chance)

    assert_replays(DEFINITION, driver.history)


@settings(max_examples=40, deadline=None)
@given(program=programs(), chance=st.randoms(use_true_random=False), capacity=st.sampled_from([0, 1]))
def test_a_cache_of_any_size_gives_the_same_turns(program: Program, chance: Any, capacity: int) -> None:
    """D1: evicted after each turn, or kept to the end: the same rows, the same projections."""
    driver = live(program, chance)
    turns: dict[int, list[HistoryEvent]] = {}
    for row in driver.history:
        turns.setdefault(row.turn or 0, []).append(row)
    run = LiveRun(RUN_ID, DEFINITION, CONVERTER)
    done: Sequence[HistoryEvent] = []

    for rows in turns.values():
        if not capacity:
            run.evict()
            run = LiveRun(RUN_ID, DEFINITION, CONVERTER)
            run.replay(done)
        news = [row.event for row in rows if row.event.role.value == "input"]
        turn = run.advance(news, now=rows[-1].recorded_at)
        assert [*turn.inputs, *turn.outputs] == [row.event for row in rows]
        done = [*done, *rows]

    whole = LiveRun(RUN_ID, DEFINITION, CONVERTER)
    whole.replay(driver.history)
    for one in (run, whole):
        assert one.activities == driver.run.activities
        assert one.timers == driver.run.timers
        assert one.request_ids == driver.run.request_ids
        assert (one.head_seq, one.turn_number, one.closed) == (
            driver.run.head_seq,
            driver.run.turn_number,
            driver.run.closed,
        )


def _notes(history: Sequence[HistoryEvent], chance: Any) -> list[HistoryEvent]:
    """The history with notes at every point; what refers to an event by seq is renumbered."""
    renumbered: dict[int, int] = {}
    rows: list[HistoryEvent] = []

    def add(turn: int | None, at: int, event: Event) -> None:
        rows.append(HistoryEvent(len(rows) + 1, turn, at, event))

    for row in history:
        fields = {name: getattr(row.event, name) for name in row.event.__struct_fields__}
        for reference in ("scheduled_seq", "timer_seq"):
            if fields.get(reference):
                fields[reference] = renumbered[fields[reference]]
        renumbered[row.seq] = len(rows) + 1
        add(row.turn, row.recorded_at, type(row.event)(**fields))
        if row.event.closes_run or row.seq == 1:
            continue
        failure = Failure(message="flaky")
        add(
            None,
            row.recorded_at,
            chance.choice(
                [
                    WorkflowTaskFailed(failure=failure),
                    WorkflowExecutionSignaled(signal_name="poke", request_id=f"l{row.seq}", delivered=False),
                    ActivityTaskAttemptFailed(
                        scheduled_seq=len(rows), attempt=3, failure=failure, next_attempt_at=7
                    ),
                ]
            ),
        )
    return rows


@settings(max_examples=40, deadline=None)
@given(program=programs(), chance=st.randoms(use_true_random=False))
def test_notes_at_every_point_change_nothing(program: Program, chance: Any) -> None:
    """D2: notes are skipped in matching, wherever they stand."""
    driver = live(program, chance)

    run = LiveRun(RUN_ID, DEFINITION, CONVERTER)
    run.replay(_notes(driver.history, chance))

    assert run.closed == driver.run.closed
    assert run.turn_number == driver.run.turn_number
    assert [one.scheduled for one in run.activities.values()] == [
        one.scheduled for one in driver.run.activities.values()
    ]
    assert payload(1) == payload(1)


@settings(max_examples=30, deadline=None)
@given(program=programs(), chance=st.randoms(use_true_random=False), cuts=st.lists(st.integers(1, 200)))
def test_replay_in_portions_equals_replay_at_once(program: Program, chance: Any, cuts: list[int]) -> None:
    driver = live(program, chance)
    ends = [
        place
        for place in range(2, len(driver.history))
        if driver.history[place].turn != driver.history[place - 1].turn
    ]
    chosen = sorted({ends[cut % len(ends)] for cut in cuts} if ends else ())
    run = LiveRun(RUN_ID, DEFINITION, CONVERTER)

    for begin, end in zip([0, *chosen], [*chosen, len(driver.history)], strict=True):
        run.replay(driver.history[begin:end])

    assert (run.activities, run.timers) == (driver.run.activities, driver.run.timers)
    assert run.head_seq == driver.run.head_seq
