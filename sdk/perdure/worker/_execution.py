"""Execution: one attempt of an activity, from its recorded input to its result or failure."""

import asyncio
import contextvars
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from perdure._activity_context import ActivityContext, Occasion
from perdure._activity_context import current as current_activity
from perdure.activity import ActivityCancellationDetails, Info
from perdure.common import Priority, RetryPolicy
from perdure.converter import DataConverter
from perdure.definitions import ActivityDefinition, activity_definition, did_you_mean
from perdure.durations import from_optional_microseconds
from perdure.exceptions import ApplicationError, EncodingError
from perdure.worker._attempt import Attempt, Trial
from perdure.worker._held_run import HeldRun
from perdure.worker._threads import ThreadCall
from perdure_history.failures import Failure, FailureKind, TimeoutType
from perdure_history.payloads import Payload
from perdure_replayer.definition import decode_arguments

if TYPE_CHECKING:
    from perdure.client import Client

TimeOut = Callable[[HeldRun, Attempt, TimeoutType], None]
_CANCELED = Failure(kind=FailureKind.CANCELED, message="Cancelled")


class Execution:
    """Runs attempts: on the event loop when the activity is a coroutine function, else on a thread."""

    def __init__(
        self,
        definitions: Mapping[str, ActivityDefinition],
        converter: DataConverter,
        *,
        client: "Client",
        task_queue: str,
        executor: Executor,
    ) -> None:
        self._definitions = definitions
        self._converter = converter
        self._client = client
        self._task_queue = task_queue
        self._executor = executor
        self._called: dict[object, ActivityDefinition] = {}
        """Definitions of functions that workflows called without their being registered."""
        self._shutdown = Occasion()

    def announce_shutdown(self) -> None:
        """Tell all attempts, running and to come, that the worker is going down."""
        self._shutdown.set()

    async def run(
        self, attempt: Attempt, trial: Trial, run: HeldRun, time_out: TimeOut
    ) -> Payload | Failure | None:
        """Make one attempt; whatever it comes to is given back, when the user's code has ended.

        None when the task it runs in was cancelled by someone else, as `asyncio.run` does to all tasks at its
        end: a function on a thread is then interrupted, but may still be running. Also None, with nothing
        called, for a trial that was given up before it began. Raises only KeyboardInterrupt and GeneratorExit.
        """
        if attempt.trial is not trial:
            return None
        try:
            definition = self._definition(attempt)
            arguments = self._arguments(attempt, definition)
            context = ActivityContext(
                partial(self._info, attempt, trial, run),
                partial(self._heartbeat, asyncio.get_running_loop(), attempt, trial, run, time_out),
                shutdown=self._shutdown,
                payload_converter=self._converter.payload_converter,
                client=self._client,
            )
            trial.context = context
            _start_clocks(attempt, trial, run, time_out)
            if definition.is_async:
                current_activity.set(context)
                result = await definition.function(*arguments)
            else:
                result = await self._run_on_thread(trial, definition, arguments, context)
            return self._result(definition, result)
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:  # noqa: BLE001  recorded, whatever it is
            return self._failure(trial, error)
        finally:
            trial.stop_clocks()

    def interrupt(self, trial: Trial, details: ActivityCancellationDetails) -> None:
        """Ask a running attempt to stop, and say why. Its code may take its time, or ignore it."""
        if trial.task is None:
            return
        if trial.context is None and not trial.task.done():
            # Its first step is still to come; cancelled now it would never run, nor be told.
            asyncio.get_running_loop().call_soon(self.interrupt, trial, details)
            return
        trial.interrupted = True
        if trial.context is not None:
            trial.context.cancel(details)
        if trial.call is None:
            trial.task.cancel()
        else:
            trial.call.interrupt()

    def _failure(self, trial: Trial, error: BaseException) -> Failure | None:
        if isinstance(error, asyncio.CancelledError) and trial.interrupted:
            return _CANCELED
        failure = self._converter.to_failure(error)
        if failure.kind is not FailureKind.CANCELED or trial.interrupted:
            return failure
        if isinstance(error, asyncio.CancelledError) and trial.task is not None and trial.task.cancelling():
            return None
        # Nobody asked for it: something that the activity used was cancelled, which is a failure like others.
        return msgspec.structs.replace(failure, kind=FailureKind.APPLICATION, type="CancelledError")

    async def _run_on_thread(
        self, trial: Trial, definition: ActivityDefinition, arguments: list[Any], context: ActivityContext
    ) -> Any:
        throws = not definition.no_thread_cancel_exception
        call = trial.call = ThreadCall(definition.function, arguments, throws=throws)
        if throws:
            context.shield = call.shield
        variables = contextvars.copy_context()
        variables.run(current_activity.set, context)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, variables.run, call)
        except asyncio.CancelledError:
            # Not by `interrupt`, which leaves this task alone: the thread must be told as well.
            context.cancel(ActivityCancellationDetails(worker_shutdown=True))
            call.interrupt()
            raise
        finally:
            trial.call = None

    def _definition(self, attempt: Attempt) -> ActivityDefinition:
        name = attempt.scheduled.activity_type
        found = self._definitions.get(name)
        if found is None and attempt.callee is not None:
            found = self._called.get(attempt.callee)
            if found is None:
                found = self._called[attempt.callee] = activity_definition(attempt.callee)
        if found is None or found.needs_self:
            raise ActivityNotRegisteredError(name, attempt.run_id, self._task_queue, self._definitions)
        return found

    def _arguments(self, attempt: Attempt, definition: ActivityDefinition) -> list[Any]:
        try:
            arguments = decode_arguments(self._converter, attempt.scheduled.input, definition.arg_types)
            definition.shape.arguments(definition.name, tuple(arguments))
        except Exception as error:
            raise ApplicationError(
                f"activity {definition.name!r} cannot take its recorded arguments: {error}",
                type=type(error).__name__,
                non_retryable=True,
            ) from error
        return arguments

    def _result(self, definition: ActivityDefinition, result: Any) -> Payload:
        try:
            return self._converter.to_payload(result)
        except EncodingError as error:
            raise ApplicationError(
                f"activity {definition.name!r} has run, and what it returned cannot be recorded: {error}",
                type=type(error).__name__,
                # Its work would be done again, to the same end.
                non_retryable=True,
            ) from error

    def _heartbeat(
        self,
        loop: asyncio.AbstractEventLoop,
        attempt: Attempt,
        trial: Trial,
        run: HeldRun,
        time_out: TimeOut,
        *details: Any,
    ) -> None:
        payloads = tuple(self._converter.to_payloads(details))

        def beat() -> None:
            if attempt.trial is not trial:
                return  # it was given up
            attempt.heartbeat_details = payloads
            timeout = attempt.scheduled.heartbeat_timeout_us
            if timeout is not None and trial.clocks:
                trial.clocks.pop(TimeoutType.HEARTBEAT).cancel()
                _start_clock(attempt, trial, run, time_out, TimeoutType.HEARTBEAT, timeout)

        loop.call_soon_threadsafe(beat)

    def _info(self, attempt: Attempt, trial: Trial, run: HeldRun) -> Info:
        scheduled = attempt.scheduled
        return Info(
            activity_id=scheduled.activity_id,
            activity_type=scheduled.activity_type,
            attempt=trial.number,
            current_attempt_scheduled_time=_moment(max(trial.due_at, attempt.scheduled_at)),
            heartbeat_details=[self._converter.from_payload(one, Any) for one in trial.earlier_details],
            heartbeat_timeout=from_optional_microseconds(scheduled.heartbeat_timeout_us),
            is_local=True,
            namespace=self._client.namespace,
            schedule_to_close_timeout=from_optional_microseconds(scheduled.schedule_to_close_timeout_us),
            scheduled_time=_moment(attempt.scheduled_at),
            start_to_close_timeout=from_optional_microseconds(scheduled.start_to_close_timeout_us),
            started_time=_moment(trial.started_at),
            task_queue=self._task_queue,
            task_token=f"{run.run_id}:{attempt.seq}:{trial.number}".encode(),
            workflow_id=run.workflow_id,
            workflow_namespace=self._client.namespace,
            workflow_run_id=run.run_id,
            workflow_type=run.definition.name,
            priority=Priority.default,
            retry_policy=RetryPolicy.from_record(scheduled.retry_policy),
            scheduled_seq=attempt.seq,
        )


class ActivityNotRegisteredError(ApplicationError):
    """No activity of this name is known here. Retried: another version of the worker may know it."""

    def __init__(self, name: str, run_id: str, task_queue: str, known: Mapping[str, object]) -> None:
        super().__init__(
            f"activity {name!r} of run {run_id} is not registered on the worker of task queue {task_queue!r} "
            f"({did_you_mean(name, known)}). Pass it to Worker(activities=[...]); the attempt is repeated.",
            type="NotFoundError",
        )


def _start_clocks(attempt: Attempt, trial: Trial, run: HeldRun, time_out: TimeOut) -> None:
    timeout = attempt.scheduled.start_to_close_timeout_us
    heartbeat = attempt.scheduled.heartbeat_timeout_us
    if timeout is None and heartbeat is None:
        return
    trial.clocks = {}
    if timeout is not None:
        _start_clock(attempt, trial, run, time_out, TimeoutType.START_TO_CLOSE, timeout)
    if heartbeat is not None:
        _start_clock(attempt, trial, run, time_out, TimeoutType.HEARTBEAT, heartbeat)


def _start_clock(
    attempt: Attempt, trial: Trial, run: HeldRun, time_out: TimeOut, clock: TimeoutType, timeout_us: int
) -> None:
    loop = asyncio.get_running_loop()
    if trial.clocks is not None:
        trial.clocks[clock] = loop.call_later(timeout_us / 1_000_000, time_out, run, attempt, clock)


def _moment(us: int) -> datetime:
    return datetime.fromtimestamp(us / 1_000_000, UTC)
