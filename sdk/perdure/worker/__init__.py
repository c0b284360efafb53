"""Workers: what runs workflows and activities."""

from perdure.worker._worker import Worker

__all__ = ["Worker"]
