"""A run as a tree of lines: pure, so that the plain and the live view print the same."""

from dataclasses import dataclass, field

from perdure.cli._output import coloured, compact, duration, escaped, fitted, moment
from perdure.cli._records import problem_of, reason_of_end
from perdure.cli._steps import Step, Timeline
from perdure.cli._workers import Workforce, missing_worker_text, waits_for_worker
from perdure_history.records import RunRecord, RunStatus


@dataclass(slots=True)
class Node:
    """A line and the lines below it. The text may hold colour."""

    text: str
    children: list["Node"] = field(default_factory=list["Node"])


def tree_of(run: RunRecord, timeline: Timeline, *, now: int, workforce: Workforce | None = None) -> Node:
    """The run, a node for each step, and at the end the outcome or what it waits for.

    `now` is store time; `workforce` says why a run that waits for a worker has none.
    """
    ended = timeline.closed_at if timeline.closed_at is not None else now
    done = sum(not step.is_open for step in timeline.steps.values())
    root = Node(
        f"{escaped(run.workflow_id)}  {escaped(run.workflow_type)}  {coloured(run.status.value)}  {duration(max(0, ended - run.started_at))}"
        f"  {done}/{len(timeline.steps)} steps  run {run.run_id}"
    )
    shown = ", ".join(compact(value) for value in timeline.input)
    root.children.append(
        Node(fitted(f"started {moment(run.started_at)} by {timeline.actor or 'unknown'}: ({shown})", 120))
    )
    root.children.extend(_step_node(step, now) for step in timeline.steps.values())
    root.children.append(_end_node(run, timeline, now, workforce))
    return root


def lines_of(node: Node) -> list[str]:
    """The tree as text, one line a node."""
    lines = [node.text]
    for number, child in enumerate(node.children):
        last = number == len(node.children) - 1
        first, *rest = lines_of(child)
        lines.append(("└── " if last else "├── ") + first)
        lines.extend(("    " if last else "│   ") + line for line in rest)
    return lines


def waiting_text(run: RunRecord, timeline: Timeline, now: int, workforce: Workforce | None = None) -> str:
    """What an open run waits for, in words."""
    problem = problem_of(run)
    if problem is not None:
        return f"code that can go on: {problem.kind}: {escaped(problem.message)}"
    open_steps = timeline.waits_for()
    if waits_for_worker(run, now):
        return missing_worker_text(run, now, workforce)
    if not open_steps:
        return "a signal, or the worker's next turn"
    return ", ".join(_waiting_step(step, now) for step in open_steps[:5]) + (
        f" and {len(open_steps) - 5} more" if len(open_steps) > 5 else ""
    )


def _waiting_step(step: Step, now: int) -> str:
    if step.kind == "timer":
        left = max(0, (step.due_at or now) - now)
        return f"timer {escaped(step.name)} (due in {duration(left)})"
    if step.status == "retrying":
        left = max(0, (step.due_at or now) - now)
        when = f"in {duration(left)}" if left else "now"
        return f"{escaped(step.name)} (attempt {step.attempts} {when})"
    return f"{escaped(step.name)} (attempt {step.attempts})"


def _step_node(step: Step, now: int) -> Node:
    node = Node(_step_text(step, now))
    for attempt in step.failed_attempts:
        lost = f" (worker {attempt.lost_worker} died)" if attempt.lost_worker else ""
        failure = fitted(attempt.failure, 100)
        node.children.append(
            Node(f"attempt {attempt.number} {coloured('retrying', 'failed')}{lost}: {failure}")
        )
    if step.failure:
        node.children.append(Node(coloured("failed", fitted(step.failure, 110))))
    return node


def _step_text(step: Step, now: int) -> str:
    shown = ", ".join(compact(value) for value in step.input)
    match step.kind:
        case "activity":
            call = fitted(f"{step.name}({shown})")
            took = duration(step.duration_us if step.duration_us is not None else max(0, now - step.began_at))
            tries = f", attempt {step.attempts}" if step.attempts > 1 else ""
            result = "" if step.status != "completed" else " " + fitted(f"= {compact(step.result)}")
            return f"{call}  {coloured(step.status)} {took}{tries}{result}"
        case "timer":
            length = duration(max(0, (step.due_at or step.began_at) - step.began_at))
            left = "" if not step.is_open else f", due in {duration(max(0, (step.due_at or now) - now))}"
            return f"timer {escaped(step.name)} {length}  {coloured(step.status)}{left}"
        case "signal":
            return f"signal {fitted(f'{step.name}({shown})')}  {coloured(step.status)} from {escaped(step.actor)}"
        case _:
            return (
                f"{step.kind} {escaped(step.name)}".rstrip()
                + f"  {coloured(step.status)} {moment(step.began_at)}"
            )


def _end_node(run: RunRecord, timeline: Timeline, now: int, workforce: Workforce | None) -> Node:
    if timeline.closed_at is None:
        node = Node(f"{coloured('waiting', 'waits for')} {waiting_text(run, timeline, now, workforce)}")
        problem = problem_of(run)
        if problem is not None:
            tried = f"tried {problem.attempts} times since {moment(problem.first_at)}"
            node.children.append(Node(f"{tried}, again after {moment(problem.next_at)}"))
            node.children.extend(Node(escaped(line)) for line in problem.traceback.splitlines())
        return node
    status = coloured(run.status.value)
    if run.status is RunStatus.COMPLETED:
        return Node(f"{status} {moment(timeline.closed_at)}: {fitted(compact(timeline.result), 110)}")
    reason = reason_of_end(run.status, timeline.failure)
    return Node(f"{status} {moment(timeline.closed_at)}" + (f": {fitted(reason, 110)}" if reason else ""))
