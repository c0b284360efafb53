"""Arrivals: takes runs and messages in, and brings runs into memory.

Takes what `Intake` finds and loads what `RunKeeper` needs; owns nothing but the loading that is under way. A run
that cannot be loaded is set aside with the reason; one that may have killed its worker is tried alone.
"""

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

from perdure._local import LocalTraffic
from perdure.worker._activities import ActivityRunner
from perdure.worker._composing import mark
from perdure.worker._held_run import HeldRun, News
from perdure.worker._holdings import Holdings
from perdure.worker._identity import WorkerIdentity
from perdure.worker._loading import load
from perdure.worker._suspects import Judgement, convicted, judge, marked
from perdure.worker._tasks import Tasks
from perdure.worker._timers import TimerWatch
from perdure.worker._turns import TurnLoop
from perdure.worker._watchdog import TurnWatchdog
from perdure_history.codec import decode_event
from perdure_history.errors import CorruptHistoryError, StoreError
from perdure_history.events import Dispatch
from perdure_history.ids import RunId
from perdure_history.records import Claim, Message, Verdict, decode_problem
from perdure_replayer.definition import WorkflowDefinition
from perdure_replayer.turn import HistoryEvent, LiveRun

if TYPE_CHECKING:
    from perdure.client import Client

_logger = logging.getLogger("perdure.worker")
LOADS_AT_ONCE = 8
_AGAIN_SECONDS = 1.0


class Keeper(Protocol):
    """Who keeps the runs that arrive."""

    holdings: Holdings
    turns: TurnLoop
    runner: ActivityRunner
    timers: TimerWatch

    def hold(self, run: HeldRun) -> None:
        """Keep a run from now on."""

    def run_settled(self, run: HeldRun) -> None:
        """Nothing waits for the run now."""

    def run_lost(self, run: HeldRun, verdict: Verdict) -> None:
        """What the run holds in memory is worthless."""

    def message_missed(self) -> None:
        """A message came for a run that is not held (yet)."""

    def run_missed(self) -> None:
        """A run was started into this worker's hands, and what was started is not known here."""


class Arrivals:
    """What comes to one worker. Belongs to its event loop."""

    def __init__(
        self,
        client: "Client",
        me: WorkerIdentity,
        keeper: Keeper,
        traffic: LocalTraffic,
        tasks: Tasks,
        *,
        workflows: Mapping[str, WorkflowDefinition],
        watchdog: TurnWatchdog,
    ) -> None:
        self._client = client
        self._store = client.store
        self._me = me
        self._keeper = keeper
        self._traffic = traffic
        self._tasks = tasks
        self._definitions = workflows
        self._watchdog = watchdog
        self._loads = asyncio.Semaphore(LOADS_AT_ONCE)
        self._alone = asyncio.Lock()

    def take_start(self, run_id: str) -> None:
        """Hold a run that a client of this process started into this worker's hands."""
        start = self._traffic.take_start(run_id)
        if run_id in self._keeper.holdings:
            return
        if start is None:
            self._keeper.run_missed()
            return
        row = start.first_event
        started = decode_event(row.type, row.attributes)
        run = HeldRun(run_id, start.workflow_id, self._definitions[start.workflow_type])
        run.live = LiveRun(run_id, run.definition, self._client.data_converter)
        run.head_seq, run.head_hash = row.seq, row.hash
        run.open_inputs = (HistoryEvent(row.seq, row.turn, row.recorded_at, started),)
        run.live.take_open(run.open_inputs)
        self._keeper.hold(run)
        self._keeper.turns.wake(run)

    def take_claim(self, claim: Claim) -> None:
        """Hold a run that was just claimed, and load it."""
        record = claim.run
        if record.run_id in self._keeper.holdings:
            return
        run = HeldRun(record.run_id, record.workflow_id, self._definitions[record.workflow_type])
        run.orphaned_by = record.orphaned_by
        run.problem = None if record.problem is None else decode_problem(record.problem)
        run.loading = True
        self._keeper.hold(run)
        for message in claim.messages:
            self.take_message(message)
        match judge(record.claims, run.problem, self._store.now()):
            case Judgement.RUN:
                self._tasks.spawn(self._load(run))
            case Judgement.TRY_ALONE:
                self._tasks.spawn(self._try_alone(run, record.claims))
            case Judgement.SET_ASIDE:
                self._tasks.spawn(self._set_aside_suspect(run))

    def take_message(self, message: Message) -> None:
        """Queue a message for its run, unless it is on its way already."""
        run = self._keeper.holdings.get(message.run_id)
        if run is None:
            self._keeper.message_missed()
        elif run.mark_seen(message.id):
            try:
                event = decode_event(message.type, message.attributes, run_id=message.run_id)
            except CorruptHistoryError:
                _logger.exception("run %s: a message cannot be taken; it stays in the inbox", run.run_id)
                return
            run.add_news(News(event, message.actor, message.id))
            self._keeper.turns.wake(run)

    def closed_elsewhere(self, run_id: str) -> None:
        """A run was closed; if it is held and this worker did not do it, let it go."""
        run = self._keeper.holdings.get(run_id)
        if run is None:
            return
        if run.in_flight is not None or run.loading:
            run.doubted = True
        else:
            self._keeper.run_lost(run, Verdict.STALE)

    def load(self, run: HeldRun) -> None:
        """Replay the run's history, then compute what waits for it."""
        if not run.loading and run.live is None and run.in_flight is None:
            run.loading = True
            self._tasks.spawn(self._load(run))

    async def _try_alone(self, run: HeldRun, claims: int) -> None:
        """Mark a suspect, run it until it waits, and take the mark off again: this process survived it."""
        async with self._alone:
            await self._find_head(run)
            if run.gone:
                return
            problem = marked(run.problem, claims, self._store.now())
            self._keeper.turns.submit(mark(run, problem, now=self._store.now()))
            await self._keeper.turns.until_settled(run)
            if run.gone:
                return
            await self._load(run)
            await self._keeper.turns.until_settled(run)
            if not run.gone and run.problem is problem:
                self._keeper.turns.submit(mark(run, None, now=self._store.now()))
                await self._keeper.turns.until_settled(run)

    async def _set_aside_suspect(self, run: HeldRun) -> None:
        await self._find_head(run)
        run.loading = False
        if run.problem is not None and not run.gone:
            problem = convicted(run.problem, self._store.now())
            _logger.error("run %s of workflow id %r: %s", run.run_id, run.workflow_id, problem.message)
            self._keeper.turns.submit(mark(run, problem, now=self._store.now(), release=True))

    async def _find_head(self, run: HeldRun) -> None:
        """Set the head of a run that is not loaded: a commit that records nothing builds on it as well."""
        while True:
            try:
                head = await self._store.last_event(RunId(run.run_id))
                break
            except StoreError as trouble:
                _logger.warning("looking at run %s: %s", run.run_id, trouble)
                await asyncio.sleep(_AGAIN_SECONDS)
        if head is not None:
            run.head_seq, run.head_hash = head.seq, head.hash

    async def _load(self, run: HeldRun) -> None:
        error: Exception | None = None
        async with self._loads:
            try:
                await load(run, self._store, self._client.data_converter, self._watchdog)
            except StoreError as trouble:
                _logger.warning("loading run %s: %s", run.run_id, trouble)
                await asyncio.sleep(_AGAIN_SECONDS)
                asyncio.get_running_loop().call_soon(self._keeper.turns.wake, run)
            except Exception as failure:  # noqa: BLE001  whatever replay raises sets this run aside
                error = failure
        if error is not None:
            # It may have been raised by an early page; what sets the run aside builds on the last event.
            await self._find_head(run)
        run.loading = False
        if run.gone:
            return
        if error is not None:
            self._keeper.turns.set_aside(run, error)
        elif run.doubted:
            run.doubted = False
            self._keeper.run_lost(run, Verdict.STALE)
        elif run.live is not None:
            self._loaded(run, run.live)

    def _loaded(self, run: HeldRun, live: LiveRun) -> None:
        if live.closed:
            self._keeper.run_lost(run, Verdict.STALE)
            return
        now = self._store.now()
        lost_worker = run.orphaned_by
        for pending in list(live.activities.values()):
            if pending.scheduled.dispatch is not Dispatch.HERE or pending.seq in run.attempts:
                continue
            rests = pending.next_attempt_at > now
            if lost_worker is None or rests or lost_worker in pending.lost_workers:
                self._keeper.runner.take(run, pending)
            else:
                self._keeper.runner.take_lost(run, pending, lost_worker)
        self._keeper.timers.match(run, live, now=now)
        if run.has_work:
            self._keeper.turns.wake(run)
        else:
            self._keeper.run_settled(run)
