"""A client on a fresh store, and workers on it: memory and SQLite, with runs kept in memory and without."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path

import pytest

from perdure.client import Client
from perdure.worker import Worker

MakeWorker = Callable[..., AbstractAsyncContextManager[Worker]]


@pytest.fixture(params=["memory", "sqlite"])
async def client(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Client]:
    address = "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/runs.db"
    async with await Client.connect(address, identity="tester") as client:
        yield client


@pytest.fixture(params=[1000, 0], ids=["cached", "uncached"])
def worker(request: pytest.FixtureRequest, client: Client) -> MakeWorker:
    """Make a worker on the client's store; uncached, each turn replays its run."""
    return partial(Worker, client, max_cached_workflows=request.param)
