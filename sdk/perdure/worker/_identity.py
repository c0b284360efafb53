"""WorkerIdentity: under which name a worker acts now."""


class WorkerIdentity:
    """The present incarnation of one worker: changed only when the store declared the former one dead."""

    def __init__(self, identity: str) -> None:
        self.identity = identity
        """Of the client: for people."""
        self.incarnation = ""
        """Random, never used again: the store's fence knows the worker by it."""
        self.actor = identity
        """Who caused the events that the worker records. Holds the incarnation, so that no two workers ever
        write equal bytes."""

    def renew(self, incarnation: str) -> None:
        """Act as a new incarnation from now on."""
        self.incarnation = incarnation
        self.actor = f"{self.identity}/{incarnation}"
