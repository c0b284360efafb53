"""A database with one run of each kind, and the command line to ask about it."""

import asyncio
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from perdure.cli.__main__ import perdure
from perdure.client import Client, WorkflowFailureError
from perdure.worker import Worker
from tests.architecture.source_tree import PACKAGES
from tests.sdk.cli import shop

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


class CommandLine:
    """Runs `perdure` in this process, as fast as a function call."""

    def __init__(self, database):
        self.database = database

    def __call__(self, *words, db=True):
        arguments = [*(("--db", str(self.database)) if db else ()), *words]
        result = CliRunner().invoke(
            perdure, arguments, env={"PERDURE_DATABASE_URL": None, "DATABASE_URL": None}
        )
        return Answer(result.exit_code, result.stdout, result.stderr)


def environment():
    kept = {key: value for key, value in os.environ.items() if "DATABASE_URL" not in key}
    return kept | {"PYTHONPATH": os.pathsep.join(str(package.parent) for package in PACKAGES)}


def process(*words, **options):
    """Starts `perdure` as a process of its own."""
    command = [sys.executable, "-m", "perdure.cli", *map(str, words)]
    pipes = {
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
        "cwd": HERE,
        "env": environment(),
    }
    return subprocess.Popen(command, **pipes | options)


@pytest.fixture
def command_line(tmp_path):
    return CommandLine(tmp_path / "app.db")


@pytest.fixture
def populated(command_line):
    """The command line of a database with hello (completed), no-stock (failed) and contract (waits for a signal)."""
    asyncio.run(populate(command_line.database))
    return command_line


async def populate(database):
    client = await Client.connect(f"sqlite:///{database}", identity="test")
    async with Worker(client, workflows=[shop.greeting, shop.refusal, shop.Approval]):
        await client.execute_workflow(shop.greeting, {"name": "ada"}, id="hello")
        with pytest.raises(WorkflowFailureError):
            await client.execute_workflow(shop.refusal, "no stock", id="no-stock")
        await client.start_workflow(shop.Approval.run, "contract 7", id="contract")
    await client.close()
