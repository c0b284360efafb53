"""Replay and steps cost next to nothing beside the commit that they wait for."""

import time
from collections.abc import Callable

from perdure_history.events import ActivityTaskCompleted
from perdure_replayer.turn import HistoryEvent, LiveRun
from tests.replayer.driver import (
    CONVERTER,
    RUN_ID,
    START,
    activity,
    function_workflow,
    payload,
    start_event,
)

STEPS = 10_000
_RESULT = payload(1)


async def many_steps(steps: int) -> None:
    for number in range(steps):
        await activity("charge", number, result_type=int)


def _record(steps: int) -> tuple[list[HistoryEvent], list[float]]:
    """The history of a run of so many steps, and what each turn cost in seconds of this process."""
    definition = function_workflow(many_steps)
    run = LiveRun(RUN_ID, definition, CONVERTER)
    history: list[HistoryEvent] = []
    costs: list[float] = []
    turn = run.advance([start_event(definition, steps)], now=START)
    while True:
        for place, event in enumerate((*turn.inputs, *turn.outputs)):
            history.append(HistoryEvent(turn.first_seq + place, turn.number, turn.time, event))
        if run.closed:
            return history, costs
        news = [ActivityTaskCompleted(scheduled_seq=run.head_seq, result=_RESULT)]
        begin = time.process_time()
        turn = run.advance(news, now=START)
        costs.append(time.process_time() - begin)


def test_replay_makes_50000_events_a_second(figure: Callable[[str], None]) -> None:
    history, _ = _record(STEPS)
    best = 0.0

    for _ in range(3):
        run = LiveRun(RUN_ID, function_workflow(many_steps), CONVERTER)
        begin = time.process_time()
        run.replay(history)
        best = max(best, len(history) / (time.process_time() - begin))

    figure(f"replay of {len(history):,} events: {best:,.0f} events a second")
    assert best > 50_000


def test_late_step_costs_what_an_early_one_does(figure: Callable[[str], None]) -> None:
    _, costs = _record(STEPS)

    early, late = (sorted(part)[len(part) // 2] for part in (costs[:1000], costs[-1000:]))

    figure(f"one step in memory: {early * 1e6:.1f} us at the start, {late * 1e6:.1f} us after {STEPS:,}")
    # Far above what is measured: another process on the machine must not fail this.
    assert late < 2 * early
