"""TimerWatch: watches the open timers of held runs, and tells a run when one is due."""

from collections.abc import Callable
from operator import itemgetter

from perdure.worker._due import DueQueue
from perdure.worker._held_run import HeldRun, News
from perdure.worker._identity import WorkerIdentity
from perdure_history.events import TimerFired
from perdure_replayer.turn import LiveRun


class TimerWatch:
    """The timers of one worker. What it watches stands in `HeldRun.alarms`; the log knows them all."""

    def __init__(self, due: DueQueue, me: WorkerIdentity, *, wake: Callable[[HeldRun], None]) -> None:
        self._due = due
        self._me = me
        self._wake = wake

    def start(self, run: HeldRun, seq: int, fire_at: int) -> None:
        """Watch the timer that event `seq` started."""

        def fire() -> None:
            run.alarms.pop(seq, None)
            if not run.gone:
                run.add_news(self._fired(seq))
                self._wake(run)

        run.alarms[seq] = self._due.add(fire_at, fire)

    def cancel(self, run: HeldRun, seq: int) -> None:
        """Watch it no longer; harmless when it is not watched."""
        alarm = run.alarms.pop(seq, None)
        if alarm is not None:
            self._due.cancel(alarm)

    def match(self, run: HeldRun, live: LiveRun, *, now: int) -> None:
        """Watch just the timers that are open in a run that was loaded. One that is due is news at once.

        Not through the queue: an idle run may be released before its alarm rings.
        """
        for seq in [seq for seq in run.alarms if seq not in live.timers]:
            self.cancel(run, seq)
        for seq, fire_at in sorted(live.timers.items(), key=itemgetter(1)):
            if seq in run.alarms:
                continue
            if fire_at <= now:
                run.add_news(self._fired(seq))
            else:
                self.start(run, seq, fire_at)

    def forget(self, run: HeldRun) -> None:
        """Watch nothing of the run."""
        for seq in list(run.alarms):
            self.cancel(run, seq)

    def _fired(self, seq: int) -> News:
        return News(TimerFired(timer_seq=seq), self._me.actor)
