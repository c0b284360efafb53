"""The SQL of the audit page runs as it stands, on a database that has something to answer."""

import asyncio
import re
import sqlite3
from contextlib import closing
from datetime import timedelta

import pytest

from perdure import ApplicationError, Client, RetryPolicy, Worker, activity, workflow
from perdure.client import WorkflowFailureError
from tests.architecture.source_tree import ROOT

PAGE = ROOT / "docs/how-to/audit-with-sql.md"
QUESTION = re.compile(r"```sql\n(.*?)^```", re.MULTILINE | re.DOTALL)
NO_ANSWER = {
    "Which attempts may have run without an answer?",
    "Was any message accepted and not delivered?",
    "Was any step recorded twice?",
    "Which runs cannot go on, and why?",
}
"""Questions to which a healthy database has no row."""


@activity.defn(retry_policy=RetryPolicy(initial_interval=timedelta(milliseconds=1), maximum_attempts=2))
async def charge(order: str) -> str:
    if activity.info().attempt == 1 or order == "refused":
        raise ApplicationError("no answer", type="Down")
    return f"payment-{order}"


@workflow.defn(name="audited")
async def pays(order: str) -> str:
    return await charge(order)


@workflow.defn(name="patient")
async def waits() -> None:
    await workflow.sleep(timedelta(days=1))


@pytest.fixture
async def database(tmp_path):
    path = tmp_path / "audit.db"
    async with (
        await Client.connect(f"sqlite:///{path}", identity="auditor") as client,
        Worker(client, workflows=[pays, waits]),
    ):
        await client.execute_workflow(pays, "1001", id="order-1001", reason="on the phone")
        with pytest.raises(WorkflowFailureError):
            await client.execute_workflow(pays, "refused", id="order-1002")
        handle = await client.start_workflow(waits, id="order-1003")
        while len((await handle.fetch_history()).events) < 2:
            await asyncio.sleep(0)
    return path


def questions():
    """The first SQL below each heading, by heading."""
    parts = re.split(r"^## (.*)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = zip(parts[1::2], map(QUESTION.findall, parts[2::2]), strict=True)
    return {title: sql[0] for title, sql in found if sql}


async def test_every_question_of_the_page_can_be_asked(database):
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        answers = {title: connection.execute(sql).fetchall() for title, sql in questions().items()}

    assert len(answers) >= 10
    assert {title for title, rows in answers.items() if not rows} == NO_ANSWER
    assert [row[2] for row in answers["What happened to one order?"]] == [
        "WorkflowExecutionStarted",
        "ActivityTaskScheduled",
        "ActivityTaskAttemptFailed",
        "ActivityTaskCompleted",
        "WorkflowExecutionCompleted",
    ]
    assert answers["Who did what from outside, and why?"][0][1:] == (
        "auditor", "WorkflowExecutionStarted", "order-1001", None, "on the phone",
    )  # fmt: skip
    assert [row[1:3] for row in answers["What is each open run waiting for?"]] == [(2, "TimerStarted")]
