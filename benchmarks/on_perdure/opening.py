"""A client and a worker on a new SQLite file, durable as by default, in this process."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

from perdure import Client, Worker

QUEUE = "bench"
FILE = "perdure.db"


def run(
    folder: Path,
    main: Callable[[Client], Awaitable[dict[str, float]]],
    *,
    workflows: Sequence[Any],
    activities: Sequence[Any] = (),
    **worker_options: Any,
) -> dict[str, float]:
    """What `main` gives, with a worker running beside it."""

    async def with_worker() -> dict[str, float]:
        client = await Client.connect(f"sqlite:///{folder / FILE}")
        async with Worker(
            client, task_queue=QUEUE, workflows=workflows, activities=activities, **worker_options
        ):
            return await main(client)

    return asyncio.run(with_worker())
