"""One fixture that gives each test an empty store of each kind."""

import pytest

from tests.conformance.scene import Scene
from tests.conformance.stores import STORES, ManualClock


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture(params=list(STORES))
async def scene(request, tmp_path, clock):
    """A fresh store of each kind, on a clock that stands still."""
    store = await STORES[request.param](tmp_path, clock)
    try:
        yield Scene(store, clock)
    finally:
        await store.close()
