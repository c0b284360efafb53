"""Histories in SQL databases."""

from perdure_history.sql.opening import open_sqlite

__all__ = ["open_sqlite"]
