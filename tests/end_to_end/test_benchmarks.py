"""The benchmarks run: small sizes, no peer, figures for every workload."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_quick_benchmark_measures_every_workload_beside_the_floor(tmp_path: Path):
    picture = tmp_path / "rates.svg"

    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "benchmarks",
            "--quick",
            "--dir",
            tmp_path,
            "--out",
            tmp_path,
            "--svg",
            picture,
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )

    assert done.returncode == 0, done.stderr
    workloads = json.loads((tmp_path / "latest.json").read_text())["workloads"]
    assert not any(workload["failures"] for workload in workloads.values())
    assert all(workload["values"]["perdure"] for workload in workloads.values())
    assert workloads["steps_1"]["values"]["floor"]["per_second"][0] > 0
    assert "durable steps" in done.stdout
    assert picture.read_text().startswith("<svg")
