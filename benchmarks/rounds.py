"""Measures the workloads: the sides take turns within each round, so that noise on the machine hits all of them."""

import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.child import MeasurementFailedError, measure
from benchmarks.plan import Workload, floor_keywords

PERDURE = "perdure"
FLOOR = "floor"
PEER = "DBOS"

PEER_SECONDS = 30.0
"""A peer that took longer than this for one measurement is not asked a second time."""


@dataclass(slots=True)
class Measured:
    """What one workload came to: all values of each figure, by side and then by key."""

    workload: Workload
    values: dict[str, dict[str, list[float]]] = field(default_factory=dict[str, dict[str, list[float]]])
    failures: dict[str, str] = field(default_factory=dict[str, str])

    def add(self, side: str, figures: dict[str, float]) -> None:
        """Take in the figures of one measurement."""
        by_key = self.values.setdefault(side, defaultdict(list))
        for key, value in figures.items():
            by_key[key].append(value)

    def median(self, side: str, key: str) -> float | None:
        """The middle one of a side's values; None when it has none."""
        values = self.values.get(side, {}).get(key)
        return statistics.median(values) if values else None


@dataclass(frozen=True, slots=True)
class Session:
    """How to measure."""

    folder: Path
    """On the filesystem that is measured."""
    rounds: int
    quick: bool
    peer_python: str | None
    """None: the peer is left out."""

    def run(self, workloads: Sequence[Workload]) -> list[Measured]:
        """Measure all of them, telling on standard error how far it is."""
        results: list[Measured] = []
        for number, workload in enumerate(workloads, 1):
            result = Measured(workload)
            for round_number in range(self.rounds):
                _say(
                    f"[{number}/{len(workloads)}] {workload.title}: round {round_number + 1} of {self.rounds}"
                )
                self._round(result)
            results.append(result)
            _say(f"[{number}/{len(workloads)}] {workload.title}: {_short(result)}", final=True)
        return results

    def _round(self, result: Measured) -> None:
        workload = result.workload
        keywords = workload.quick if self.quick else workload.full
        with tempfile.TemporaryDirectory(dir=self.folder, prefix="perdure-bench-") as name:
            folder = Path(name)
            self._measure(result, PERDURE, f"on_perdure.{workload.module}", folder, keywords)
            source = folder / "perdure.db"
            if workload.floor is not None and PERDURE not in result.failures:
                floor = {**floor_keywords(workload, keywords), "source": str(source)}
                self._measure(result, FLOOR, "floor", folder, floor)
            if self.peer_python is None or not workload.has_peer or result.failures.get(PEER):
                return
            began = time.monotonic()
            self._measure(
                result,
                PEER,
                f"on_dbos.{workload.module}",
                folder,
                {**keywords, **workload.peer},
                self.peer_python,
            )
            if time.monotonic() - began > PEER_SECONDS:
                result.failures.setdefault(PEER, "")

    def _measure(
        self,
        result: Measured,
        side: str,
        module: str,
        folder: Path,
        keywords: dict[str, Any],
        python: str = sys.executable,
    ) -> None:
        try:
            result.add(side, measure(module, folder, keywords, python=python))
        except MeasurementFailedError as error:
            result.failures[side] = str(error)
            _say(f"{side} failed: {error}", final=True)


def _short(result: Measured) -> str:
    figure = result.workload.figures[0]
    said = [
        f"{side} {value:,.4g} {figure.unit}"
        for side in (PERDURE, FLOOR, PEER)
        if (value := result.median(side, figure.key)) is not None
    ]
    return ", ".join(said)


def _say(text: str, *, final: bool = False) -> None:
    """Progress: on a terminal each line replaces the one before, unless that was final."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="\n" if final else "", file=sys.stderr, flush=True)
    elif final:
        print(text, file=sys.stderr, flush=True)
