"""Opening DBOS on a new SQLite file, with nothing but its defaults and a quiet log."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from dbos import DBOS


def run(folder: Path, main: Coroutine[Any, Any, dict[str, float]]) -> dict[str, float]:
    """What `main` gives, with DBOS launched around it."""
    configure(folder)
    DBOS.launch()
    try:
        return asyncio.run(main)
    finally:
        DBOS.destroy()


def configure(folder: Path) -> None:
    """Name the application and its system database; `DBOS.launch` opens it."""
    url = f"sqlite:///{folder / 'dbos.db'}"
    DBOS(
        config={
            "name": "bench",
            "system_database_url": url,
            "log_level": "ERROR",
            "console_log_level": "ERROR",
        }
    )
