"""The shell commands of the tutorial do what it says, in its order, with real processes."""

import os
import re
import shlex
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing

import pytest

from tests.architecture.source_tree import PACKAGES, ROOT
from tests.architecture.test_docs import blocks
from tests.end_to_end.waiting import until

PAGE = ROOT / "docs/tutorial.md"
COMMAND = re.compile(r"^    (perdure (?!worker).*)$", re.MULTILINE)
SOON = 60


@pytest.fixture
def shell(tmp_path):
    """Starts programs in a folder that holds the files of the page, and ends those that still run."""
    for block in blocks(PAGE.read_text(encoding="utf-8")):
        (tmp_path / block.file).write_text(block.code, encoding="utf-8")
    environment = {key: value for key, value in os.environ.items() if "DATABASE_URL" not in key} | {
        "PYTHONPATH": os.pathsep.join(str(package.parent) for package in PACKAGES),
        "PERDURE_DATABASE_URL": "shop.db",
    }
    started = []

    def start(*arguments):
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


def answer(shell, *arguments):
    process = shell(*arguments)
    said, _ = process.communicate(timeout=SOON)
    assert process.returncode == 0, f"{arguments}: {said}"
    return said


def is_cooling_off(database):
    if not database.exists():
        return False
    try:
        with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
            return connection.execute("SELECT 1 FROM perdure_audit WHERE type = 'TimerStarted'").fetchone()
    except sqlite3.OperationalError:  # it has no tables yet
        return False


@pytest.mark.slow
async def test_the_killed_program_goes_on_where_it_was_and_charges_no_second_time(shell, tmp_path):
    first = shell("shop.py")
    await until(is_cooling_off, tmp_path / "shop.db", seconds=SOON)
    first.send_signal(signal.SIGKILL)
    first.wait(SOON)

    second = answer(shell, "shop.py")
    third = answer(shell, "shop.py")

    assert "charging" not in second
    assert "'parcel': 'parcel-1001'" in second
    assert "shipping" not in third
    assert "'parcel': 'parcel-1001'" in third


@pytest.mark.slow
def test_every_command_of_the_page_succeeds_beside_a_worker(shell):
    commands = [shlex.split(line) for line in COMMAND.findall(PAGE.read_text(encoding="utf-8"))]
    answer(shell, "shop.py")
    worker = shell("-m", "perdure.cli", "worker", "shop.py", "--db", "shop.db")
    assert "Worker" in worker.stdout.readline()

    said = {" ".join(words): answer(shell, "-m", "perdure.cli", *words[1:]) for words in commands}

    assert len(said) >= 8
    assert any('"approved_by":"Ann"' in text for text in said.values())
    assert "every chain is whole" in said["perdure verify"]
