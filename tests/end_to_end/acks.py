"""The acknowledgement log: what clients were told, in files outside the database."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tests.checker import Ack


class AckLog:
    """One client's log. A line is with the kernel before the answer is used, so a SIGKILL cannot take it back."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, ack: Ack) -> None:
        os.write(self._file, msgspec.json.encode(ack) + b"\n")

    def close(self) -> None:
        os.close(self._file)

    @contextmanager
    def call(
        self,
        call: str,
        workflow_id: str,
        *,
        key: str = "",
        refused: Callable[[BaseException], bool] = lambda _: False,
    ) -> Iterator[None]:
        """Log the call made inside: "ok" when it returns, "refused" when what it raises says so, else "unknown"."""
        ack = Ack(call=call, workflow_id=workflow_id, key=key, sent=time.monotonic_ns(), answer="unknown")
        try:
            yield
        except BaseException as error:
            answer = "refused" if refused(error) else "unknown"
            self.write(msgspec.structs.replace(ack, acked=time.monotonic_ns(), answer=answer))
            raise
        self.write(msgspec.structs.replace(ack, acked=time.monotonic_ns(), answer="ok"))


def read_acks(folder: Path) -> list[Ack]:
    """All acknowledgements of all logs (`*.acks`) in a folder; a line that a kill cut short is none."""
    acks: list[Ack] = []
    for path in sorted(folder.glob("*.acks")):
        for line in path.read_bytes().split(b"\n")[:-1]:
            acks.append(msgspec.json.decode(line, type=Ack))
    return acks
