"""The world outside the database: a log that only grows, which the demo's check believes more than the database.

Each line is one write of one JSON object to a file opened for appending, so that a killed process leaves whole
lines or nothing. Who writes: the starter, when a start or a signal was acknowledged; the activities, when an
attempt begins and when it has done its work.
"""

import json
import os
import time
from pathlib import Path

from perdure import activity

LOG_VARIABLE = "PERDURE_DEMO_LOG"


class PaymentDownError(Exception):
    """The payment service did not answer."""


def append(entry: dict[str, object], path: str | None = None) -> None:
    """Add one line; what was written survives the process from here on."""
    line = json.dumps(entry | {"at": time.time(), "pid": os.getpid()}) + "\n"
    descriptor = os.open(path or os.environ[LOG_VARIABLE], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(descriptor, line.encode())
    finally:
        os.close(descriptor)


def tried(what: str, order_id: str) -> str:
    """Note that an attempt begins; give back the key under which the outside world knows this step."""
    info = activity.info()
    key = info.idempotency_key
    append({"what": "begin", "step": what, "order": order_id, "key": key, "attempt": info.attempt})
    return key


def did(what: str, order_id: str, key: str) -> str:
    """Note that an attempt has done its work; the same key gives the same answer, however often it is done."""
    append({"what": "done", "step": what, "order": order_id, "key": key})
    return f"{what}-{order_id.removeprefix('order-')}"


def failed(what: str, order_id: str, key: str) -> None:
    """Note that an attempt came to nothing."""
    append({"what": "failed", "step": what, "order": order_id, "key": key})


def entries(path: Path, start: int = 0) -> tuple[list[dict[str, object]], int]:
    """Whole lines from byte `start` on, and where to go on reading."""
    if not path.exists():
        return [], start
    with path.open("rb") as file:
        file.seek(start)
        data = file.read()
    whole = data[: data.rfind(b"\n") + 1]
    return [json.loads(line) for line in whole.splitlines()], start + len(whole)
