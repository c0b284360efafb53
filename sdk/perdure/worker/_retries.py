"""Whether a failed attempt is followed by another, and when: a pure decision."""

from perdure_history.events import RetryPolicyRecord
from perdure_history.failures import Failure, FailureKind, RetryState

_LONGEST_DELAY_US = 100 * 365 * 86_400 * 1_000_000


def next_attempt_at(
    policy: RetryPolicyRecord, failure: Failure, *, attempt: int, now: int, deadline: int | None
) -> int | RetryState:
    """Store time of the attempt after `attempt`, or why there is none.

    The delay is initial_interval * backoff_coefficient ** (attempt - 1), at most maximum_interval (by default
    one hundred initial intervals), unless the failure asks for a delay of its own. `deadline` is the end of
    schedule-to-close by store time: an attempt that could only begin behind it is not made.
    """
    if failure.kind is FailureKind.CANCELED:
        return RetryState.CANCEL_REQUESTED
    if failure.non_retryable or _type_name(failure) in policy.non_retryable_error_types:
        return RetryState.NON_RETRYABLE_FAILURE
    if policy.maximum_attempts and attempt >= policy.maximum_attempts:
        return RetryState.MAXIMUM_ATTEMPTS_REACHED
    at = now + _delay_us(policy, failure, attempt)
    if deadline is not None and at >= deadline:
        return RetryState.TIMEOUT
    return at


def _delay_us(policy: RetryPolicyRecord, failure: Failure, attempt: int) -> int:
    if failure.next_retry_delay_us is not None:
        return max(0, failure.next_retry_delay_us)
    longest = policy.maximum_interval_us
    if longest is None:
        longest = 100 * policy.initial_interval_us
    try:
        delay = policy.initial_interval_us * policy.backoff_coefficient ** (attempt - 1)
    except OverflowError:
        delay = _LONGEST_DELAY_US
    return int(min(delay, longest, _LONGEST_DELAY_US))


def _type_name(failure: Failure) -> str:
    return "TimeoutError" if failure.kind is FailureKind.TIMEOUT else failure.type
