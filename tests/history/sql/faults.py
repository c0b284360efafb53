"""Faults to plant at the store's commit points."""

import sqlite3


def database_error(code: int, text: str = "planted") -> sqlite3.OperationalError:
    """An error as the driver raises it, with SQLite's result code."""
    error = sqlite3.OperationalError(text)
    error.sqlite_errorcode = code
    return error


class Plan:
    """Counts points, and raises at those that the test chose."""

    def __init__(self) -> None:
        self.points: list[str] = []
        self.error = None
        self.at: set[int] = set()
        self.named: str | None = None
        self.times = 0
        self.share = 0.0
        self.random = None

    def __call__(self, point: str) -> None:
        self.points.append(point)
        hit = len(self.points) in self.at or (point == self.named and self.times > 0)
        if self.random is not None and point == "commit":
            hit = hit or self.random.random() < self.share
        if hit:
            self.times -= 1
            raise self.error

    def arm(self, error, *, at: int | None = None, named: str | None = None, times: int = 1) -> None:
        """Raise `error` at the point `at` places from here, or `times` times at the points `named`."""
        self.points.clear()
        self.error, self.named, self.times = error, named, times
        self.at = set() if at is None else {at}

    def disarm(self) -> list[str]:
        """Raise no more; the points since the arming."""
        self.at, self.named, self.random = set(), None, None
        return list(self.points)
