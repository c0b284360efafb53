"""A venv of its own for DBOS, so that its dependencies meet nobody else's."""

import subprocess
import sys
from pathlib import Path

from benchmarks.child import ROOT

VENV = ROOT / ".venv-bench"
REQUIREMENT = "dbos==3.4.0"


def python_with_dbos() -> str | None:
    """The interpreter that can import DBOS, after making its venv when it is not there; None: it cannot be had."""
    python = VENV / "bin" / "python"
    if _can_import(python):
        return str(python)
    print(f"Installing {REQUIREMENT} into {VENV.name} ...", file=sys.stderr)
    try:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(VENV)], check=True, capture_output=True)
        subprocess.run(
            [str(python), "-m", "pip", "install", "--quiet", REQUIREMENT], check=True, capture_output=True
        )
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines()
        print(f"DBOS is left out: {said[-1] if said else error}", file=sys.stderr)
        return None
    return str(python)


def _can_import(python: Path) -> bool:
    if not python.exists():
        return False
    return (
        subprocess.run([str(python), "-c", "import dbos"], check=False, capture_output=True).returncode == 0
    )
