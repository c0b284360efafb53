"""Tasks: work that a worker does on the side, whose failures are heard."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

_logger = logging.getLogger("perdure.worker")


class Tasks:
    """The side work of one worker. Belongs to its event loop."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do `work` on the side. What it raises is logged: each such work leaves its run to be found again."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    @property
    def busy(self) -> bool:
        """Some of it is still going on."""
        return bool(self._tasks)

    async def until_done(self) -> None:
        """Return when all work, also what began meanwhile, has ended."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _logger.error("worker: %s", error, exc_info=error)
