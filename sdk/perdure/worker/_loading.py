"""Brings a held run into memory: read its history in pages, replay it, find the turn that was left open."""

import asyncio

from perdure.worker._held_run import HeldRun
from perdure.worker._watchdog import TurnWatchdog
from perdure_history.ids import RunId
from perdure_history.store import RunStore
from perdure_replayer.definition import Converter
from perdure_replayer.rebuild import Rebuild
from perdure_replayer.turn import LiveRun

PAGE = 2_000
"""Events read and replayed before the event loop gets to do something else."""


async def load(run: HeldRun, store: RunStore, converter: Converter, watchdog: TurnWatchdog) -> None:
    """Set `run.live` and the head from the stored history.

    Raises CorruptHistoryError, NonDeterminismError, and what workflow code raises on replay; `run` is then
    as it was.
    """
    live = LiveRun(run.run_id, run.definition, converter)
    rebuild = Rebuild(live)
    try:
        while True:
            rows = await store.read_history(RunId(run.run_id), after_seq=rebuild.head_seq, limit=PAGE)
            watchdog.begin()
            rebuild.feed(rows)
            watchdog.end()
            if len(rows) < PAGE:
                break
            await asyncio.sleep(0)
        watchdog.begin()
        open_inputs = rebuild.finish()
        watchdog.end()
    except BaseException:
        watchdog.end()
        live.evict()
        raise
    run.live = live
    run.head_seq, run.head_hash = rebuild.head_seq, rebuild.head_hash
    run.open_inputs = open_inputs
    run.turn_number = live.turn_number
