"""One small state machine for each thing that workflow code waits for: an activity, a timer.

    requested ──turn ends──> recorded (seq) ──outcome event──> resolved
        └──cancelled in its own turn──> dropped: leaves no trace

The machine is the very future (or timer handle) that the code holds, so that awaiting one needs no task.
Nothing that code sees derives from `seq`, which is 0 until the turn ends.
"""

from collections.abc import Callable
from contextvars import Context
from typing import Any, Protocol

from perdure_history.failures import Failure, FailureKind, RetryState
from perdure_history.payloads import Payload
from perdure_replayer.commands import CancelActivity, CancellationType, CancelTimer, Command, ScheduleActivity
from perdure_replayer.definition import Converter
from perdure_replayer.futures import RunFuture
from perdure_replayer.loop import READ_ONLY, RUNNING, DueHandle, WorkflowLoop


class CommandSink(Protocol):
    """Where machines issue commands: the run."""

    @property
    def loop(self) -> WorkflowLoop:
        """The run's loop."""
        ...

    @property
    def converter(self) -> Converter:
        """The run's converter."""
        ...

    def issue(self, command: Command, machine: "Machine | None") -> None:
        """Add a command to this turn."""
        ...


class ActivityMachine(RunFuture[Any]):
    """An activity that code asked for: a future with the result."""

    __slots__ = ("_journal", "_result_type", "callee", "cancel_asked", "command", "dropped", "seq")

    def __init__(
        self,
        number: int,
        journal: CommandSink,
        command: ScheduleActivity,
        *,
        result_type: Any,
        callee: object | None,
    ) -> None:
        super().__init__(number, journal.loop)
        self._journal = journal
        self._result_type = result_type
        self.command = command
        self.callee = callee
        self.seq = 0
        self.dropped = False
        self.cancel_asked = False

    def cancel(self, msg: Any | None = None) -> bool:
        """Cancel the activity as its cancellation type says; asking again changes nothing."""
        if self.done():
            return False
        phase = self._journal.loop.phase
        if phase is not RUNNING:
            if phase is READ_ONLY:
                self._journal.loop.refuse_unless_running("cancel an activity")
            return super().cancel(msg)
        if self.seq == 0:
            self.dropped = True
            self._raise_cancelled()
            return True
        kind = self.command.options.cancellation_type
        if kind != CancellationType.ABANDON and not self.cancel_asked:
            self.cancel_asked = True
            self._journal.issue(CancelActivity(self.seq, self.command.name), None)
        if kind != CancellationType.WAIT_CANCELLATION_COMPLETED:
            self._raise_cancelled()
        return True

    def complete(self, result: Payload) -> None:
        """The activity returned. An abandoned one is not listened to any more."""
        if self.done():
            return
        try:
            value = self._journal.converter.from_payload(result, self._result_type)
        except Exception as error:  # noqa: BLE001  # a result that does not fit its type raises where it is awaited
            self.set_exception(error)
        else:
            self.set_result(value)

    def fail(self, message: str, *, cause: Failure, retry_state: RetryState, outcome_seq: int) -> None:
        """The activity failed, timed out or was canceled for good."""
        if not self.done():
            failure = self._failure(message, cause, retry_state, outcome_seq)
            self.set_exception(self._journal.converter.from_failure(failure))

    def _raise_cancelled(self) -> None:
        cause = Failure(message="Cancelled", kind=FailureKind.CANCELED)
        failure = self._failure("Activity cancelled", cause, RetryState.CANCEL_REQUESTED, 0)
        self.set_exception(self._journal.converter.from_failure(failure))
        # Who cancels need not await: that is no error worth asyncio's complaint.
        self._log_traceback = False

    def _failure(self, message: str, cause: Failure, retry_state: RetryState, outcome_seq: int) -> Failure:
        return Failure(
            message=message,
            kind=FailureKind.ACTIVITY,
            activity_type=self.command.name,
            activity_id=self.command.activity_id,
            scheduled_seq=self.seq,
            started_seq=outcome_seq,
            retry_state=retry_state,
            cause=cause,
        )


class TimerMachine(DueHandle):
    """A durable timer: the handle that `call_later` gives back."""

    __slots__ = ("_journal", "dropped", "fired", "seq")

    def __init__(
        self,
        journal: CommandSink,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        *,
        context: Context,
        when: float,
    ) -> None:
        super().__init__(callback, args, context, when=when)
        self._journal = journal
        self.seq = 0
        self.dropped = False
        self.fired = False

    def cancel(self) -> None:
        """Stop waiting; once fired it only keeps a callback that is still ready from being called."""
        if self._cancelled:
            return
        loop = self._journal.loop
        if loop.phase is READ_ONLY:
            loop.refuse_unless_running("cancel a timer")
        self._cancelled = True
        if self.fired or loop.phase is not RUNNING:
            return
        if self.seq == 0:
            self.dropped = True
        else:
            self._journal.issue(CancelTimer(self.seq), None)

    def fire(self) -> None:
        """The timer was due."""
        self.fired = True
        self._journal.loop.ready.append(self)


class TimerFuture(RunFuture[None]):
    """What `start_timer` gives: done when the timer fired; cancelling it cancels the timer."""

    __slots__ = ("timer",)

    def __init__(self, number: int, loop: WorkflowLoop) -> None:
        super().__init__(number, loop)
        self.timer: TimerMachine | None = None
        """None where the delay was over at once."""

    def cancel(self, msg: Any | None = None) -> bool:
        """Cancel the timer, then be cancelled."""
        if self.done():
            return False
        if self.timer is not None:
            self.timer.cancel()
        return super().cancel(msg)

    def finish(self) -> None:
        """Be done, unless cancelled meanwhile."""
        if not self.done():
            self.set_result(None)


Machine = ActivityMachine | TimerMachine
