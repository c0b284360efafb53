"""Type checkers infer what users expect, and find the mistakes that they expect to be found."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SNIPPETS = Path(__file__).parent
ROOT = SNIPPETS.parent.parent
FLOORS = [str(ROOT / floor) for floor in ("sdk", "replayer", "history")]


def test_pyright_infers_every_asserted_type(tmp_path: Path):
    """Strict mode, with a config of its own, so that needless ignores are reported."""
    pytest.importorskip("basedpyright")
    config = tmp_path / "pyrightconfig.json"
    config.write_text(
        '{"typeCheckingMode": "strict", "reportUnnecessaryTypeIgnoreComment": "error", '
        f'"include": ["{SNIPPETS / "activities.py"}"], "extraPaths": {FLOORS!r}}}'.replace("'", '"')
    )

    answer = subprocess.run(
        [sys.executable, "-m", "basedpyright", "--project", str(config), "--pythonpath", sys.executable],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )

    assert answer.returncode == 0, answer.stdout + answer.stderr


def test_mypy_infers_every_asserted_type(tmp_path: Path):
    """The part of the snippets that has no mistakes in it: mypy reads no `pyright: ignore`."""
    pytest.importorskip("mypy")
    text = (SNIPPETS / "activities.py").read_text()
    right = tmp_path / "right.py"
    right.write_text(text[: text.index("async def mistakes")] + "\n\nreveal_type(ship)\n")

    answer = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={tmp_path}", str(right)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env=os.environ | {"MYPYPATH": os.pathsep.join(FLOORS)},
        cwd=tmp_path,
    )

    said = [line for line in answer.stdout.splitlines() if line.startswith("right.py")]
    assert [line for line in said if "error:" in line] == []
    assert [line for line in said if "Revealed type" in line]
