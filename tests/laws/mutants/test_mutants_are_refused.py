"""Law: code that asks for something else than its history is refused on replay; code that does not, is not.

Each workflow is recorded, then changed in one place at a time. An oracle runs the changed code afresh on the
recorded inputs and says at which event, if any, it would have written something else.
"""

import gc
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import Any

import pytest

from perdure.definitions import workflow_definition
from perdure_history.codec import encode_event
from perdure_replayer.definition import WorkflowDefinition
from perdure_replayer.errors import BrokenRunError, NonDeterminismError
from perdure_replayer.turn import HistoryEvent, LiveRun
from tests.laws.mutants import flows
from tests.laws.mutants.operators import OPERATORS, Mutant, mutants_of
from tests.laws.mutants.world import SCENARIOS, Scenario, first_difference, record
from tests.replayer.driver import CONVERTER, RUN_ID, cancel_request

# A mutant that fails between making a coroutine and awaiting it leaves the coroutine behind.
pytestmark = pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")


@dataclass
class Tally:
    """What became of the mutants."""

    mutants: int = 0
    differ: int = 0
    caught: int = 0
    missed: list[str] = field(default_factory=list)
    false_alarms: list[str] = field(default_factory=list)
    wrong_words: list[str] = field(default_factory=list)
    not_neutral: list[str] = field(default_factory=list)

    def add(self, other: "Tally") -> None:
        """Count the other's mutants too."""
        for one in fields(self):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))


def build(mutant: Mutant, scenario: Scenario) -> WorkflowDefinition:
    """The mutant as a workflow, in a file of its own name."""
    namespace: dict[str, Any] = dict(vars(flows))
    exec(compile(mutant.source, f"{mutant.name}.py", "exec"), namespace)
    return workflow_definition(namespace[scenario.name])


def replayed(definition: WorkflowDefinition, history: list[HistoryEvent]) -> NonDeterminismError | None:
    """Replay; the error, if the code is refused. A refused run cannot be used further."""
    run = LiveRun(RUN_ID, definition, CONVERTER)
    try:
        run.replay(history)
    except NonDeterminismError as error:
        with pytest.raises(BrokenRunError):
            run.advance([cancel_request()], now=history[-1].recorded_at)
        return error
    else:
        return None
    finally:
        run.evict()


def judge(mutant: Mutant, scenario: Scenario, *, history: list[HistoryEvent], tally: Tally) -> None:
    definition = build(mutant, scenario)
    expected = first_difference(definition, history)
    error = replayed(definition, history)
    tally.mutants += 1
    if expected is None:
        if error is not None:
            tally.false_alarms.append(f"{mutant.name}: {error}")
        return
    tally.differ += 1
    if mutant.is_neutral:
        tally.not_neutral.append(mutant.name)
    if error is None:
        tally.missed.append(f"{mutant.name}: differs at event {expected.seq}\n{mutant.source}")
        return
    tally.caught += 1
    before = [row for row in history if (row.turn or 0) < expected.turn]
    if before and (early := replayed(definition, before)) is not None:
        tally.false_alarms.append(f"{mutant.name}: refused before turn {expected.turn}: {early}")
    if (
        error.seq != expected.seq
        or f"event {error.seq}:" not in str(error)
        or not names_a_line(error, mutant)
    ):
        tally.wrong_words.append(f"{mutant.name}: expected event {expected.seq}; {error}")


def names_a_line(error: NonDeterminismError, mutant: Mutant) -> bool:
    """Whether the message says which line of the mutant asks or waits, and that line could."""
    file, _, line = error.where.rpartition(":")
    source = mutant.source.splitlines()
    return file == f"{mutant.name}.py" and error.where in str(error) and 1 <= int(line) <= len(source)


@pytest.fixture(scope="module")
def totals() -> Iterator[Tally]:
    """The tallies of all workflows together, printed at the end."""
    totals = Tally()
    yield totals
    print(  # noqa: T201  # the figures are what the law is judged by
        f"\n{totals.mutants} mutants, {totals.differ} change a command: {totals.caught} caught, "
        f"{len(totals.missed)} missed; {totals.mutants - totals.differ} change none: "
        f"{len(totals.false_alarms)} false alarms"
    )


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Let no coroutine be collected inside a namedtuple's constructor, where it has no builtins to warn with."""
    gc.disable()
    yield
    gc.collect()
    gc.enable()


@pytest.mark.usefixtures("no_collection")
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_every_mutant_that_changes_a_command_is_refused_and_no_other(
    scenario: Scenario, totals: Tally
) -> None:
    history = record(scenario, workflow_definition(scenario.target))
    before = [encode_event(row.event) for row in history]

    tally = Tally()
    for mutant in mutants_of(scenario.target, flows.step):
        judge(mutant, scenario, history=history, tally=tally)
    totals.add(tally)

    assert tally.missed == []
    assert tally.false_alarms == []
    assert tally.caught == tally.differ >= 10
    # The message names the event and a line of the mutant.
    assert tally.wrong_words == []
    # Renaming, logging and extracting change nothing, so the oracle must agree.
    assert tally.not_neutral == []
    assert [encode_event(row.event) for row in history] == before


def test_there_are_twenty_workflows_and_every_operator_finds_a_place() -> None:
    operators = Counter(
        mutant.operator for scenario in SCENARIOS for mutant in mutants_of(scenario.target, flows.step)
    )

    assert len(SCENARIOS) >= 20
    assert set(operators) == set(OPERATORS)
    assert sum(operators.values()) > 1_500
