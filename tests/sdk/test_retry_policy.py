"""RetryPolicy is checked when it is made, and means the same when read from a history."""

import dataclasses
from datetime import timedelta

import pytest

from perdure.common import RetryPolicy
from perdure.exceptions import InvalidOptionError
from perdure_history.events import RetryPolicyRecord


def test_the_default_policy_is_the_recorded_default():
    assert RetryPolicy().to_record() == RetryPolicyRecord()


def test_a_policy_survives_its_record():
    policy = RetryPolicy("250ms", 1.5, "1m", 7, ["ValueError"])

    assert policy.initial_interval == timedelta(milliseconds=250)
    assert RetryPolicy.from_record(policy.to_record()) == policy


def test_replacing_a_field_checks_again():
    policy = dataclasses.replace(RetryPolicy(), maximum_attempts=3)

    assert policy.to_record().maximum_attempts == 3
    with pytest.raises(InvalidOptionError):
        dataclasses.replace(policy, backoff_coefficient=0.5)


def test_a_policy_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        RetryPolicy().maximum_attempts = 3  # type: ignore[misc]  # that is the point


@pytest.mark.parametrize(
    ("fields", "option"),
    [
        ({"initial_interval": -1}, "initial_interval"),
        ({"initial_interval": "10s", "maximum_interval": "1s"}, "maximum_interval"),
        ({"backoff_coefficient": 0.9}, "backoff_coefficient"),
        ({"backoff_coefficient": float("nan")}, "backoff_coefficient"),
        ({"backoff_coefficient": float("inf")}, "backoff_coefficient"),
        ({"maximum_attempts": -1}, "maximum_attempts"),
        ({"maximum_attempts": 1.5}, "maximum_attempts"),
        ({"non_retryable_error_types": "ValueError"}, "non_retryable_error_types"),
        ({"non_retryable_error_types": [ValueError]}, "non_retryable_error_types"),
    ],
)
def test_a_field_that_makes_no_sense_is_named(fields, option):
    with pytest.raises(InvalidOptionError) as caught:
        RetryPolicy(**fields)

    assert caught.value.option == option
