"""Execution: one attempt of an activity, from its recorded input to its result or failure."""

import asyncio
import contextvars
from collections.abc import Callable, Mapping
from concurrent.futures import Executor
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from perdure._activity_context import ActivityContext, Occasion
from perdure._activity_context import current as current_activity
from perdure.activity import ActivityCancellationDetails, Info
from perdure.common import Priority, RetryPolicy
from perdure.converter import DataConverter
from perdure.definitions import ActivityDefinition, activity_definition, did_you_mean
from perdure.durations import from_optional_microseconds
from perdure.exceptions import ApplicationError, EncodingError
from perdure.worker._attempt import Attempt
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
        self._threads: dict[Attempt, tuple[ThreadCall, bool]] = {}

    def announce_shutdown(self) -> None:
        """Tell all attempts, running and to come, that the worker is going down."""
        self._shutdown.set()

    async def run(self, attempt: Attempt, run: HeldRun, time_out: TimeOut) -> Payload | Failure:
        """Make one attempt; whatever it comes to is given back. Returns only when the user's code has ended."""
        try:
            definition = self._definition(attempt)
            arguments = self._arguments(attempt, definition)
            context = ActivityContext(
                partial(self._info, attempt, run),
                partial(self._heartbeat, asyncio.get_running_loop(), attempt, run, time_out),
                shutdown=self._shutdown,
                payload_converter=self._converter.payload_converter,
                client=self._client,
            )
            attempt.context = context
            self._start_clocks(attempt, run, time_out)
            if definition.is_async:
                current_activity.set(context)
                result = await definition.function(*arguments)
            else:
                result = await self._run_on_thread(attempt, definition, arguments, context)
            return self._result(definition, result)
        except (asyncio.CancelledError, SystemExit, Exception) as error:  # noqa: BLE001  recorded, whatever it is
            return (
                _CANCELED if isinstance(error, asyncio.CancelledError) else self._converter.to_failure(error)
            )
        finally:
            _stop_clocks(attempt)

    def interrupt(self, attempt: Attempt, details: ActivityCancellationDetails) -> None:
        """Ask a running attempt to stop, and say why. Its code may take its time, or ignore it."""
        if attempt.task is None:
            return
        if attempt.context is None and not attempt.task.done():
            # Its first step is still to come; cancelled now it would never run, nor be told.
            asyncio.get_running_loop().call_soon(self.interrupt, attempt, details)
            return
        if attempt.context is not None:
            attempt.context.cancel(details)
        on_thread = self._threads.get(attempt)
        if on_thread is None:
            attempt.task.cancel()
        elif on_thread[1]:
            on_thread[0].interrupt()

    async def _run_on_thread(
        self, attempt: Attempt, definition: ActivityDefinition, arguments: list[Any], context: ActivityContext
    ) -> Any:
        call = ThreadCall(definition.function, arguments)
        throws = not definition.no_thread_cancel_exception
        if throws:
            context.shield = call.shield
        self._threads[attempt] = (call, throws)
        variables = contextvars.copy_context()
        variables.run(current_activity.set, context)
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, variables.run, call)
        finally:
            self._threads.pop(attempt, None)

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

    # Clocks of the running attempt

    def _start_clocks(self, attempt: Attempt, run: HeldRun, time_out: TimeOut) -> None:
        timeout = attempt.scheduled.start_to_close_timeout_us
        heartbeat = attempt.scheduled.heartbeat_timeout_us
        if timeout is None and heartbeat is None:
            return
        attempt.clocks = {}
        if timeout is not None:
            _start_clock(attempt, run, time_out, TimeoutType.START_TO_CLOSE, timeout)
        if heartbeat is not None:
            _start_clock(attempt, run, time_out, TimeoutType.HEARTBEAT, heartbeat)

    def _heartbeat(
        self,
        loop: asyncio.AbstractEventLoop,
        attempt: Attempt,
        run: HeldRun,
        time_out: TimeOut,
        *details: Any,
    ) -> None:
        payloads = tuple(self._converter.to_payloads(details))
        number = attempt.number

        def beat() -> None:
            if attempt.number != number:
                return  # from a thread whose attempt was given up
            attempt.heartbeat_details = payloads
            timeout = attempt.scheduled.heartbeat_timeout_us
            if timeout is not None and attempt.clocks:
                attempt.clocks.pop(TimeoutType.HEARTBEAT).cancel()
                _start_clock(attempt, run, time_out, TimeoutType.HEARTBEAT, timeout)

        loop.call_soon_threadsafe(beat)

    def _info(self, attempt: Attempt, run: HeldRun) -> Info:
        scheduled = attempt.scheduled
        return Info(
            activity_id=scheduled.activity_id,
            activity_type=scheduled.activity_type,
            attempt=attempt.number,
            current_attempt_scheduled_time=_moment(max(attempt.next_at, attempt.scheduled_at)),
            heartbeat_details=[self._converter.from_payload(one, Any) for one in attempt.heartbeat_details],
            heartbeat_timeout=from_optional_microseconds(scheduled.heartbeat_timeout_us),
            is_local=True,
            namespace=self._client.namespace,
            schedule_to_close_timeout=from_optional_microseconds(scheduled.schedule_to_close_timeout_us),
            scheduled_time=_moment(attempt.scheduled_at),
            start_to_close_timeout=from_optional_microseconds(scheduled.start_to_close_timeout_us),
            started_time=_moment(attempt.started_at),
            task_queue=self._task_queue,
            task_token=f"{run.run_id}:{attempt.seq}:{attempt.number}".encode(),
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


def _start_clock(
    attempt: Attempt, run: HeldRun, time_out: TimeOut, clock: TimeoutType, timeout_us: int
) -> None:
    loop = asyncio.get_running_loop()
    if attempt.clocks is not None:
        attempt.clocks[clock] = loop.call_later(timeout_us / 1_000_000, time_out, run, attempt, clock)


def _stop_clocks(attempt: Attempt) -> None:
    clocks, attempt.clocks = attempt.clocks, None
    for clock in (clocks or {}).values():
        clock.cancel()


def _moment(us: int) -> datetime:
    return datetime.fromtimestamp(us / 1_000_000, UTC)
