"""Fixtures of the crash tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.processes import Nursery, nursery
from tests.end_to_end.programs import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A fresh folder for a database and its logs."""
    return Place(tmp_path)


@pytest.fixture
def children() -> Iterator[Nursery]:
    """Makes child processes; none of them outlives the test."""
    with nursery() as made:
        yield made
