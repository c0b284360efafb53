"""The demo and the README's program do what is said of them, in processes that are really killed."""

import os
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.architecture.source_tree import PACKAGES, ROOT
from tests.architecture.test_docs import blocks

pytestmark = pytest.mark.slow

PATIENCE = 120


def environment():
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(str(package.parent) for package in PACKAGES),
        "NO_COLOR": "1",
    }


def test_the_demo_kills_its_worker_and_finds_nothing_lost_or_doubled(tmp_path):
    script = ROOT / "examples/crash_recovery/demo.py"
    command = [
        sys.executable,
        str(script),
        "--orders",
        "40",
        "--kills",
        "3",
        "--keep",
        str(tmp_path / "kept"),
    ]

    answer = subprocess.run(
        command,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env=environment(),
        cwd=tmp_path,
    )

    assert answer.returncode == 0, answer.stdout[-3_000:] + answer.stderr[-3_000:]
    assert answer.stdout.count("kill -9") == 3
    assert "Nothing was lost, nothing was recorded twice." in answer.stdout
    assert {path.name for path in tmp_path.iterdir()} == {"kept"}


def wait_for_timer(database: Path, running: subprocess.Popen) -> None:
    """Read the history until the run sleeps; the database answers when it is ready, so nothing is waited in vain."""
    while running.poll() is None:
        try:
            with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
                if connection.execute("SELECT 1 FROM perdure_history WHERE type = 'TimerStarted'").fetchone():
                    return
        except sqlite3.OperationalError:
            continue
    raise AssertionError(running.communicate()[1])


@pytest.mark.timeout(PATIENCE)
def test_the_program_of_the_readme_survives_kill_9_and_charges_once(tmp_path):
    (program,) = [block.code for block in blocks((ROOT / "README.md").read_text()) if block.file == "app.py"]
    (tmp_path / "app.py").write_text(program)
    options = {
        "cwd": tmp_path,
        "env": environment(),
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
    }
    first = subprocess.Popen([sys.executable, "app.py"], **options)
    wait_for_timer(tmp_path / "app.db", first)
    first.send_signal(signal.SIGKILL)
    first.communicate(timeout=PATIENCE)

    second = subprocess.run([sys.executable, "app.py"], timeout=PATIENCE, check=False, **options)

    assert second.stdout.strip() == "['payment for 1001', 'parcel for 1001']", second.stderr
    with closing(sqlite3.connect(tmp_path / "app.db")) as connection:
        completed = connection.execute(
            "SELECT activity_type, count(*) FROM perdure_audit WHERE type = 'ActivityTaskCompleted' GROUP BY 1 ORDER BY 1"
        ).fetchall()
    assert completed == [("charge", 1), ("ship", 1)]
