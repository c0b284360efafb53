"""Holdings: the runs that a worker holds, least recently used first, and which of them must leave memory."""

from collections import OrderedDict
from collections.abc import Iterator
from itertools import islice

from perdure.worker._held_run import HeldRun

_LOOKED_AT = 16
"""How many of the oldest runs are looked at for one that may leave."""


class Holdings:
    """The held runs of one worker, by run id."""

    def __init__(self, *, max_cached: int, max_held: int) -> None:
        self._runs: OrderedDict[str, HeldRun] = OrderedDict()
        self._max_cached = max_cached
        self._max_held = max(max_cached, max_held)

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[HeldRun]:
        return iter(list(self._runs.values()))

    def __contains__(self, run_id: str) -> bool:
        return run_id in self._runs

    def get(self, run_id: str) -> HeldRun | None:
        """The run, if it is held."""
        return self._runs.get(run_id)

    def add(self, run: HeldRun) -> None:
        """Hold a run, as the most recently used one."""
        self._runs[run.run_id] = run

    def discard(self, run: HeldRun) -> None:
        """Hold it no longer."""
        if self._runs.get(run.run_id) is run:
            del self._runs[run.run_id]

    def clear(self) -> list[HeldRun]:
        """Hold nothing; give back what was held."""
        runs = list(self._runs.values())
        self._runs.clear()
        return runs

    def touch(self, run: HeldRun) -> None:
        """It was just used."""
        if run.run_id in self._runs:
            self._runs.move_to_end(run.run_id)

    @property
    def room(self) -> int:
        """How many more runs may be taken."""
        return max(0, self._max_held - len(self._runs))

    def idle(self, most: int) -> list[HeldRun]:
        """Idle runs, least recently used first; at most so many."""
        return list(islice((run for run in self._runs.values() if run.is_idle), most))

    def surplus(self) -> HeldRun | None:
        """An idle run that must leave memory, the least recently used; None when there is room or none is idle."""
        if len(self._runs) <= self._max_cached:
            return None
        for index, run in enumerate(self._runs.values()):
            if run.is_idle:
                return run
            if index >= _LOOKED_AT and self._max_cached:
                break
        return None
