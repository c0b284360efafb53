"""Which workers may take a run, as far as the store can tell."""

from dataclasses import dataclass

from perdure.cli._output import duration, escaped
from perdure_history.records import RunRecord, WorkerRecord
from perdure_history.store import WorkStore

PATIENCE_US = 2_000_000
"""A run that was due for less is only on its way: a worker that is busy or starting takes it yet."""


@dataclass(frozen=True, slots=True)
class Workforce:
    """The workers that a store knows as live, parted by whether their process has certainly ended."""

    alive: list[WorkerRecord]
    dead: list[WorkerRecord]

    def serving(self, task_queue: str) -> int:
        """How many living workers serve the queue."""
        return sum(task_queue in one.task_queues.split("\n") for one in self.alive)


async def workforce_of(store: WorkStore) -> Workforce:
    """The workers as they are now; one statement."""
    workers = await store.list_workers()
    ended = set(await store.proven_dead(workers))
    return Workforce(
        [one for one in workers if one.incarnation not in ended],
        [one for one in workers if one.incarnation in ended],
    )


def waits_for_worker(run: RunRecord, now: int) -> bool:
    """Whether the run is due and nobody holds it."""
    return run.owner is None and run.wake_at is not None and run.wake_at <= now


def overdue_us(run: RunRecord, now: int) -> int:
    """For how long a run that waits for a worker has been due; 0 when it is due at once, which keeps no time."""
    return max(0, now - run.wake_at) if run.wake_at else 0


def overdue_text(runs: list[RunRecord], now: int) -> str:
    """How many runs wait for a worker, and for how long."""
    timed = [overdue_us(run, now) for run in runs if run.wake_at]
    parts = [f"{len(timed)} for up to {duration(max(timed))}"] if timed else []
    if len(timed) < len(runs):
        parts.append(f"{len(runs) - len(timed)} due at once")
    return ", ".join(parts)


def missing_worker_text(run: RunRecord, now: int, workforce: Workforce | None) -> str:
    """What a run that waits for a worker lacks, in words; `workforce` None: nobody has looked."""
    if workforce is None:
        return "a worker"
    queue, serving = escaped(run.task_queue), workforce.serving(run.task_queue)
    if not serving:
        return f"a worker: none that is alive serves the task queue {queue!r}"
    if now - (run.wake_at or run.started_at) < PATIENCE_US:
        return "a worker"
    return (
        f"a worker: {serving} of the task queue {queue!r} live, but did not take it. They may not know the workflow "
        f"{escaped(run.workflow_type)!r}: check its name; or they have no room"
    )
