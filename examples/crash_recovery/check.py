"""The check that nothing was lost and nothing recorded twice: a pure function, so that it can be tested itself."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

STEPS = ("charge", "reserve", "ship")
OUTCOMES = {"ActivityTaskCompleted", "ActivityTaskFailed", "ActivityTaskTimedOut", "ActivityTaskCanceled"}
ENDS = {
    "WorkflowExecutionCompleted",
    "WorkflowExecutionFailed",
    "WorkflowExecutionCanceled",
    "WorkflowExecutionTerminated",
}


def problems(
    log: Iterable[Mapping[str, Any]], events: Iterable[Mapping[str, Any]], orders: Iterable[str]
) -> list[str]:
    """What the log outside says that the events do not bear out, and what no history may look like.

    `log`: entries of the outside world. `events`: rows of perdure_audit with workflow_id, run_id, seq, type,
    activity_type, scheduled_seq and signal_name, in any order. `orders`: every workflow id that should be there.
    """
    runs: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for event in events:
        runs[event["workflow_id"]].append(event)
    said = list(log)
    found: list[str] = []
    for order in orders:
        found.extend(_run_problems(order, sorted(runs.get(order, []), key=lambda event: event["seq"])))
    found.extend(_acknowledged_problems(said, runs))
    found.extend(_work_problems(said, runs))
    return found


def _run_problems(order: str, events: list[Mapping[str, Any]]) -> list[str]:
    if not events:
        return [f"{order}: lost, it has no history"]
    found: list[str] = []
    types = Counter(event["type"] for event in events)
    if len({event["run_id"] for event in events}) != 1:
        found.append(f"{order}: it ran more than once")
    if [event["seq"] for event in events] != list(range(1, len(events) + 1)):
        found.append(f"{order}: its events are not numbered 1 to {len(events)}")
    if types["WorkflowExecutionStarted"] != 1:
        found.append(f"{order}: {types['WorkflowExecutionStarted']} starts")
    ends = [event["type"] for event in events if event["type"] in ENDS]
    if ends != ["WorkflowExecutionCompleted"] or events[-1]["type"] not in ENDS:
        found.append(f"{order}: it should end once, completed and last; its ends are {ends}")
    scheduled = Counter(
        event["activity_type"] for event in events if event["type"] == "ActivityTaskScheduled"
    )
    if scheduled != Counter(STEPS):
        found.append(f"{order}: steps asked for are {dict(scheduled)}, not one of each")
    outcomes = Counter(event["scheduled_seq"] for event in events if event["type"] in OUTCOMES)
    for event in events:
        if event["type"] == "ActivityTaskScheduled" and outcomes[event["seq"]] != 1:
            found.append(
                f"{order}: step {event['activity_type']} was recorded {outcomes[event['seq']]} times, not once"
            )
    if types["TimerStarted"] != types["TimerFired"]:
        found.append(f"{order}: {types['TimerStarted']} timers began, {types['TimerFired']} fired")
    return found


def _acknowledged_problems(
    log: list[Mapping[str, Any]], runs: Mapping[str, list[Mapping[str, Any]]]
) -> list[str]:
    found: list[str] = []
    for entry in log:
        if entry["what"] == "started":
            kept = {event["run_id"] for event in runs.get(entry["order"], ()) if event["seq"] == 1}
            if entry["run_id"] not in kept:
                found.append(
                    f"{entry['order']}: its start was acknowledged as run {entry['run_id']} and is not there"
                )
    acknowledged = Counter(entry["order"] for entry in log if entry["what"] == "signaled")
    for order in acknowledged.keys() | runs.keys():
        kept_signals = sum(event["type"] == "WorkflowExecutionSignaled" for event in runs.get(order, ()))
        if kept_signals != acknowledged[order]:
            found.append(
                f"{order}: {acknowledged[order]} signals were acknowledged, {kept_signals} are recorded"
            )
    return found


def _work_problems(log: list[Mapping[str, Any]], runs: Mapping[str, list[Mapping[str, Any]]]) -> list[str]:
    """Each recorded completion must have been worked for, and each step has one key for ever."""
    found: list[str] = []
    keys: dict[tuple[str, str], set[str]] = defaultdict(set)
    done: set[tuple[str, str]] = set()
    for entry in log:
        if entry["what"] in {"begin", "done"}:
            keys[entry["order"], entry["step"]].add(entry["key"])
        if entry["what"] == "done":
            done.add((entry["order"], entry["step"]))
    for (order, step), seen in keys.items():
        if len(seen) != 1:
            found.append(
                f"{order}: step {step} came to the outside world under {len(seen)} keys, so it cannot tell repeats"
            )
    for order, events in runs.items():
        for event in events:
            if event["type"] == "ActivityTaskCompleted" and (order, event["activity_type"]) not in done:
                found.append(f"{order}: {event['activity_type']} is recorded as completed and was never done")
    return found
