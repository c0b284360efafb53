"""What workflow code can ask for: one struct a command, and how it compares with what history recorded.

A command says three things: `matches` (is this recorded event what the code asks for now?), `to_event` (the
event to record) and `str()` (for people, in the words of the log).
"""

import enum
import re

import msgspec

from perdure_history.events import (
    ActivityTaskCanceled,
    ActivityTaskCancelRequested,
    ActivityTaskScheduled,
    Dispatch,
    Event,
    RetryPolicyRecord,
    TimerCanceled,
    TimerStarted,
    WorkflowExecutionCanceled,
    WorkflowExecutionCompleted,
    WorkflowExecutionFailed,
)
from perdure_history.failures import Failure
from perdure_history.payloads import Payload

# Looking a member up in its enum costs more than making the event.
_HERE, _QUEUE = Dispatch.HERE, Dispatch.QUEUE


class CancellationType(enum.IntEnum):
    """What awaiting code sees when it cancels an activity."""

    TRY_CANCEL = 0
    """Ask the activity to stop and raise at once."""
    WAIT_CANCELLATION_COMPLETED = 1
    """Ask the activity to stop and raise, or return, what it ends with."""
    ABANDON = 2
    """Do not ask; raise at once."""


class ActivityOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How an activity is to be run, besides its name and arguments. Durations in microseconds."""

    activity_id: str | None = None
    """None: the number of the command within its run."""
    task_queue: str = ""
    schedule_to_close_timeout_us: int | None = None
    schedule_to_start_timeout_us: int | None = None
    start_to_close_timeout_us: int | None = None
    heartbeat_timeout_us: int | None = None
    retry_policy: RetryPolicyRecord = RetryPolicyRecord()
    cancellation_type: CancellationType = CancellationType.TRY_CANCEL
    headers: dict[str, Payload] = {}
    summary: str = ""


class ScheduleActivity(msgspec.Struct, frozen=True, gc=False):
    """Run an activity. Timeouts, retry policy, headers and summary may change under a running workflow."""

    name: str
    input: tuple[Payload, ...]
    options: ActivityOptions
    number: int
    """Of the command within its run; the activity id when the code gave none."""
    own_queue: str
    """The run's task queue."""

    @property
    def activity_id(self) -> str:
        """What the code said, or else the command's number."""
        given = self.options.activity_id
        return str(self.number) if given is None else given

    def matches(self, event: Event) -> bool:
        """Same type and arguments, and the same id and queue where the code names them."""
        if not isinstance(event, ActivityTaskScheduled):
            return False
        options = self.options
        return (
            event.activity_type == self.name
            and event.input == self.input
            and (options.activity_id is None or event.activity_id == options.activity_id)
            and (not options.task_queue or (event.task_queue or self.own_queue) == options.task_queue)
        )

    def to_event(self, time: int) -> Event:
        """What records it in a turn of this time."""
        options = self.options
        queue = options.task_queue
        return ActivityTaskScheduled(
            activity_type=self.name,
            activity_id=self.activity_id,
            input=self.input,
            dispatch=_HERE if not queue or queue == self.own_queue else _QUEUE,
            task_queue=queue,
            schedule_to_close_timeout_us=options.schedule_to_close_timeout_us,
            schedule_to_start_timeout_us=options.schedule_to_start_timeout_us,
            start_to_close_timeout_us=options.start_to_close_timeout_us,
            heartbeat_timeout_us=options.heartbeat_timeout_us,
            retry_policy=options.retry_policy,
            headers=options.headers,
            summary=options.summary,
        )

    def __str__(self) -> str:
        place = f" on queue {self.options.task_queue!r}" if self.options.task_queue else ""
        named = f" with id {self.options.activity_id!r}" if self.options.activity_id is not None else ""
        return f"ActivityTaskScheduled {self.name}({show_payloads(self.input)}){named}{place}"


class CancelActivity(msgspec.Struct, frozen=True, gc=False):
    """Ask an activity to stop."""

    scheduled_seq: int
    name: str

    def matches(self, event: Event) -> bool:
        """Whether `event` records this command."""
        return isinstance(event, ActivityTaskCancelRequested) and event.scheduled_seq == self.scheduled_seq

    def to_event(self, time: int) -> Event:
        """What records it in a turn of this time."""
        return ActivityTaskCancelRequested(scheduled_seq=self.scheduled_seq)

    def __str__(self) -> str:
        return f"ActivityTaskCancelRequested for {self.name} of event {self.scheduled_seq}"


class StartTimer(msgspec.Struct, frozen=True, gc=False):
    """Wake the code after a while."""

    delay_us: int
    summary: str

    def matches(self, event: Event) -> bool:
        """Whether `event` records this command."""
        return isinstance(event, TimerStarted) and event.delay_us == self.delay_us

    def to_event(self, time: int) -> Event:
        """What records it in a turn of this time."""
        return TimerStarted(delay_us=self.delay_us, fire_at=time + self.delay_us, summary=self.summary)

    def __str__(self) -> str:
        return f"TimerStarted({show_duration(self.delay_us)})"


class CancelTimer(msgspec.Struct, frozen=True, gc=False):
    """Stop waiting for a timer."""

    timer_seq: int

    def matches(self, event: Event) -> bool:
        """Whether `event` records this command."""
        return isinstance(event, TimerCanceled) and event.timer_seq == self.timer_seq

    def to_event(self, time: int) -> Event:
        """What records it in a turn of this time."""
        return TimerCanceled(timer_seq=self.timer_seq)

    def __str__(self) -> str:
        return f"TimerCanceled of event {self.timer_seq}"


class CompleteRun(msgspec.Struct, frozen=True, gc=False):
    """The workflow returned."""

    result: Payload

    def matches(self, event: Event) -> bool:
        """Whether `event` records this command."""
        return isinstance(event, WorkflowExecutionCompleted) and event.result == self.result

    def to_event(self, time: int) -> Event:
        """What records it in a turn of this time."""
        return WorkflowExecutionCompleted(result=self.result)

    def __str__(self) -> str:
        return f"WorkflowExecutionCompleted({show_payloads((self.result,))})"


class FailRun(msgspec.Struct, frozen=True, gc=False):
    """The workflow raised. Stack traces differ between versions of the code and are not compared."""

    failure: Failure

    def matches(self, event: Event) -> bool:
        """Whether `event` records this command."""
        return isinstance(event, WorkflowExecutionFailed) and show_failure(event.failure) == show_failure(
            self.failure
        )

    def to_event(self, time: int) -> Event:
        """What records it in a turn of this time."""
        return WorkflowExecutionFailed(failure=self.failure)

    def __str__(self) -> str:
        return f"WorkflowExecutionFailed({show_failure(self.failure)})"


class CancelRun(msgspec.Struct, frozen=True, gc=False):
    """The workflow let its cancellation through."""

    def matches(self, event: Event) -> bool:
        """Whether `event` records this command."""
        return isinstance(event, WorkflowExecutionCanceled)

    def to_event(self, time: int) -> Event:
        """What records it in a turn of this time."""
        return WorkflowExecutionCanceled()

    def __str__(self) -> str:
        return "WorkflowExecutionCanceled"


Command = ScheduleActivity | CancelActivity | StartTimer | CancelTimer | CompleteRun | FailRun | CancelRun


def show_payloads(payloads: tuple[Payload, ...], limit: int = 200) -> str:
    """The values as JSON, separated by commas and cut at `limit` characters; bytes only by their size."""
    shown = ", ".join(
        bytes(payload.json).decode(errors="replace")
        if bytes(payload.json)
        else f"<{payload.size} bytes of {payload.encoding}>"
        for payload in payloads
    )
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."


def show_duration(microseconds: int) -> str:
    """Seconds, without trailing zeros."""
    return f"{microseconds / 1_000_000:.6f}".rstrip("0").rstrip(".") + "s"


def show_failure(failure: Failure) -> str:
    """Kind or type, and message: what is compared of a failure. Addresses differ between processes."""
    return f"{failure.type or failure.kind.value}: {_ADDRESS.sub('0x...', failure.message)}"


_ADDRESS = re.compile("0x[0-9a-fA-F]{6,}")


def show_event(event: Event) -> str:
    """A recorded event in the words in which commands are shown."""
    match event:
        case ActivityTaskScheduled():
            place = f" on queue {event.task_queue!r}" if event.task_queue else ""
            return f"ActivityTaskScheduled {event.activity_type}({show_payloads(event.input)}){place}"
        case ActivityTaskCancelRequested() | ActivityTaskCanceled():
            return f"{type(event).__name__} of event {event.scheduled_seq}"
        case TimerStarted():
            return f"TimerStarted({show_duration(event.delay_us)})"
        case TimerCanceled():
            return f"TimerCanceled of event {event.timer_seq}"
        case WorkflowExecutionCompleted():
            return f"WorkflowExecutionCompleted({show_payloads((event.result,))})"
        case WorkflowExecutionFailed():
            return f"WorkflowExecutionFailed({show_failure(event.failure)})"
        case _:
            return type(event).__name__
