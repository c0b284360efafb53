"""Facts, and where they are kept: events, their chain, and the stores that hold them.

This package imports nothing on purpose, so that naming an event type never loads a database.
"""
