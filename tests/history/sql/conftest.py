"""An SQLite store in a fresh folder, with a clock that stands still and faults that can be planted."""

import pytest

from perdure_history.sql import open_sqlite
from tests.conformance.scene import Scene
from tests.conformance.stores import ManualClock
from tests.history.sql.faults import Plan


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def faults():
    return Plan()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store.db"


@pytest.fixture
async def scene(path, clock, faults):
    store = await open_sqlite(path, clock=clock, faults=faults, patience_seconds=5)
    try:
        yield Scene(store, clock)
    finally:
        faults.disarm()
        await store.close()
