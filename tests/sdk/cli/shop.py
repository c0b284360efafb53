"""A module as a user would hand it to `perdure worker`."""

from datetime import timedelta

from perdure import activity, workflow
from perdure.common import RetryPolicy
from perdure.exceptions import ApplicationError


@activity.defn
async def greet(name: str) -> str:
    return f"hello {name}"


@activity.defn(retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=1), maximum_attempts=2))
async def refuse(reason: str) -> None:
    raise ApplicationError(reason, type="Refused")


@workflow.defn
async def greeting(order: dict[str, str]) -> str:
    return await greet(order["name"])


@workflow.defn
async def refusal(reason: str) -> None:
    await refuse(reason)


@workflow.defn
class Approval:
    def __init__(self) -> None:
        self.by: str | None = None

    @workflow.run
    async def run(self, subject: str) -> str:
        await workflow.wait_condition(lambda: self.by is not None)
        return f"{subject} approved by {self.by}"

    @workflow.signal
    def approve(self, by: str) -> None:
        self.by = by

    @workflow.query
    def approved_by(self) -> str | None:
        return self.by


@workflow.defn
class Buggy:
    @workflow.run
    async def run(self) -> None:
        raise ValueError("a bug on purpose")
