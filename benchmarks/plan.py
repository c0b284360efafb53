"""Which workloads there are, how large each is, and what perdure aims at."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Figure:
    """One number that a workload gives."""

    key: str
    """Its name in what `measure` gives."""
    label: str
    unit: str
    higher_is_better: bool = True
    aim: float | None = None


@dataclass(frozen=True, slots=True)
class Workload:
    """Something to measure on each side that can do it."""

    name: str
    module: str
    title: str
    figures: tuple[Figure, ...]
    full: dict[str, Any]
    """Keywords of `measure`."""
    quick: dict[str, Any]
    peer: dict[str, Any] = field(default_factory=dict[str, Any])
    """Sizes that are smaller for the peer, which would take minutes otherwise. A rate stays a rate."""
    floor: dict[str, Any] | None = None
    """Keywords of `floor.measure`; None: nothing on the disk compares."""
    has_peer: bool = True


def _steps(runs: int, repeats: int, peer_repeats: int, aim: float | None) -> Workload:
    return Workload(
        name=f"steps_{runs}",
        module="steps",
        title=f"{runs:,} run{'s' if runs > 1 else ''} at a time, 10 steps each",
        figures=(
            Figure("per_second", "durable steps", "steps/s", aim=aim),
            Figure("processor_us", "processor time a step, all threads", "us", higher_is_better=False),
        ),
        full={"runs": runs, "repeats": repeats, "steps": 10},
        quick={"runs": runs, "repeats": max(1, repeats // 10), "steps": 10},
        peer={"repeats": peer_repeats},
        floor={"summary": "rate", "count": ("runs", "repeats", "steps")},
    )


_RATE = {"summary": "rate"}

WORKLOADS = (
    _steps(1, 200, 20, 2_000),
    _steps(10, 100, 4, None),
    _steps(100, 20, 1, 10_000),
    _steps(1_000, 2, 1, None),
    Workload(
        name="latency",
        module="latency",
        title="One run of one step, start to result",
        figures=(
            Figure("p50_ms", "p50", "ms", higher_is_better=False, aim=1.5),
            Figure("p99_ms", "p99", "ms", higher_is_better=False),
        ),
        full={"count": 1_000},
        quick={"count": 100},
        peer={"count": 100},
        floor={"summary": "latency"},
    ),
    Workload(
        name="fan_out",
        module="fan_out",
        title="1,000 parallel steps in one run",
        figures=(Figure("per_second", "durable steps", "steps/s"),),
        full={"width": 1_000},
        quick={"width": 200},
        floor={**_RATE, "count": ("width",)},
    ),
    Workload(
        name="sequence",
        module="sequence",
        title="One run of 10,000 sequential steps",
        figures=(Figure("per_second", "durable steps", "steps/s"),),
        full={"steps": 10_000},
        quick={"steps": 500},
        peer={"steps": 2_000},
        floor={**_RATE, "count": ("steps",)},
    ),
    Workload(
        name="recovery",
        module="recovery",
        title="That run after SIGKILL in its last step",
        figures=(
            Figure("worker_s", "from the worker's start to the result", "s", higher_is_better=False, aim=0.5),
            Figure("process_s", "from the process's start to the result", "s", higher_is_better=False),
            Figure("events_per_second", "events recovered", "events/s"),
        ),
        full={"steps": 10_000},
        quick={"steps": 500},
        floor={"summary": "read"},
    ),
    Workload(
        name="signals",
        module="signals",
        title="1,000 signals to one run",
        figures=(
            Figure("per_second", "sent, taken and added up", "signals/s"),
            Figure("sent_per_second", "acknowledged", "signals/s"),
        ),
        full={"count": 1_000},
        quick={"count": 200},
        floor={**_RATE, "count": ("count",)},
    ),
    Workload(
        name="sleepers",
        module="sleepers",
        title="5,000 runs that sleep, 1,000 of them kept in memory",
        figures=(
            Figure("start_per_second", "started until all sleep", "runs/s"),
            Figure("wake_per_second", "due at once until all ended", "runs/s"),
            Figure("resident_mib", "memory while all sleep", "MiB", higher_is_better=False),
        ),
        full={"runs": 5_000},
        quick={"runs": 300},
        peer={"runs": 1_000},
        floor={"summary": "phases", "count": ("runs",)},
    ),
    Workload(
        name="replay",
        module="replay",
        title="Replay of 10,000 events, nothing else",
        figures=(
            Figure("rows_per_second", "from stored rows", "events/s"),
            Figure("events_per_second", "from decoded events", "events/s", aim=50_000),
        ),
        full={"events": 10_000, "repeats": 5},
        quick={"events": 2_000, "repeats": 3},
        has_peer=False,
    ),
    Workload(
        name="late_steps",
        module="late_steps",
        title="A step at the end of a run of 20,000 against one at the start of a run of 1,000",
        figures=(
            Figure("ratio", "late / early, durable", "x", higher_is_better=False, aim=1.2),
            Figure("late_us", "late", "us", higher_is_better=False),
            Figure("early_us", "early", "us", higher_is_better=False),
            Figure("late_spread", "late: slowest / fastest window", "x", higher_is_better=False),
            Figure("early_spread", "early: slowest / fastest window", "x", higher_is_better=False),
        ),
        full={"late": 20_000, "early": 1_000, "window_steps": 400, "repeats": 5},
        quick={"late": 1_000, "early": 100, "window_steps": 50, "repeats": 3},
        has_peer=False,
    ),
    Workload(
        name="import_time",
        module="import_time",
        title="import perdure",
        figures=(
            Figure("best_ms", "best", "ms", higher_is_better=False, aim=150),
            Figure("median_ms", "median", "ms", higher_is_better=False),
            Figure(
                "in_use_best_ms",
                "with Client, Worker, activity, workflow: best",
                "ms",
                higher_is_better=False,
            ),
            Figure(
                "in_use_median_ms",
                "with Client, Worker, activity, workflow: median",
                "ms",
                higher_is_better=False,
            ),
        ),
        full={"count": 20},
        quick={"count": 3},
        has_peer=False,
    ),
)


def floor_keywords(workload: Workload, keywords: dict[str, Any]) -> dict[str, Any]:
    """Keywords of `floor.measure`, with `count` as the product of the named sizes."""
    assert workload.floor is not None
    count = 1
    for name in workload.floor.get("count", ()):
        count *= keywords[name]
    return {"summary": workload.floor["summary"], "count": count}
