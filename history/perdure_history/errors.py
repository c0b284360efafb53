"""What a store can answer besides success.

HistoryError
├── InvalidIdError            the caller's mistake: an id that not every store can hold
├── RunNotFoundError          the caller's mistake: no such run
├── RunAlreadyExistsError     the caller's mistake: the id policy forbids another run
├── RunClosedError            the caller's mistake: the run has ended
├── EventTooLargeError        the caller's mistake: more bytes than one event may have
├── StoreError                the world's trouble
│   ├── StoreUnavailableError     retry later: no answer, locked, disk full
│   ├── StoreClosedError          the store was closed
│   ├── ForkedStoreError          the store was opened before a fork; spawn instead
│   ├── ForeignDatabaseError      a database, but not one of ours
│   └── NewerSchemaError          written by a newer perdure
├── WorkerDeadError           this worker was declared dead; it must start anew
└── CorruptHistoryError       bytes that do not decode or do not chain
"""


class HistoryError(Exception):
    """Base of every error of the event log."""


class InvalidIdError(HistoryError, ValueError):
    """An id that not every store can hold; nothing was written."""

    def __init__(self, kind: str, value: str, why: str) -> None:
        self.kind = kind
        self.value = value
        self.why = why
        shown = value if len(value) <= 60 else value[:57] + "..."
        super().__init__(
            f"{kind} {shown!r} cannot be used: {why}. Nothing was written; choose another {kind}."
        )


class RunNotFoundError(HistoryError):
    """No run has this workflow id (or run id) in this namespace."""

    def __init__(self, namespace: str, workflow_id: str | None, run_id: str | None = None) -> None:
        self.namespace = namespace
        self.workflow_id = workflow_id
        self.run_id = run_id
        what = f"workflow id {workflow_id!r}" if workflow_id is not None else "any workflow id"
        if run_id:
            what += f" and run id {run_id!r}"
        super().__init__(
            f"no run with {what} in namespace {namespace!r}. Check the id and the database that the client "
            "is connected to; `perdure list` shows what is there."
        )


class RunAlreadyExistsError(HistoryError):
    """The id policies forbid another run under this workflow id; nothing was written."""

    def __init__(self, workflow_id: str, workflow_type: str, run_id: str, status: str) -> None:
        self.workflow_id = workflow_id
        self.workflow_type = workflow_type
        self.run_id = run_id
        self.status = status
        super().__init__(
            f"workflow id {workflow_id!r} already has run {run_id} ({status}). Nothing was written. Get a handle "
            "to that run, or start with another id, id_reuse_policy or id_conflict_policy."
        )


class RunClosedError(HistoryError):
    """The run has ended, and a closed run never changes; nothing was written."""

    def __init__(self, workflow_id: str, run_id: str, status: str, wanted: str) -> None:
        self.workflow_id = workflow_id
        self.run_id = run_id
        self.status = status
        self.wanted = wanted
        super().__init__(
            f"cannot {wanted} run {run_id} of workflow id {workflow_id!r}: it is already {status}. Nothing was "
            "written. Start a new run if the work is still wanted."
        )


class EventTooLargeError(HistoryError):
    """One event would exceed the size that every store can hold; nothing was written."""

    def __init__(self, run_id: str, event_type: str, size: int, limit: int) -> None:
        self.run_id = run_id
        self.event_type = event_type
        self.size = size
        self.limit = limit
        super().__init__(
            f"{event_type} of run {run_id} has {size} bytes; at most {limit} are allowed. Nothing was written. "
            "Pass a reference to the data instead of the data."
        )


class StoreError(HistoryError):
    """The world's trouble: the database, not the request."""


class StoreUnavailableError(StoreError):
    """The database gave no usable answer; whatever was asked did not happen, and may be asked again."""

    def __init__(self, url: str, why: str) -> None:
        self.url = url
        self.why = why
        super().__init__(f"the store {url} is not available: {why}")


class StoreClosedError(StoreError):
    """The store was closed; connect again."""

    def __init__(self, url: str) -> None:
        self.url = url
        super().__init__(f"the store {url} was closed; connect again before using it")


class ForkedStoreError(StoreError):
    """The process was forked after the store was opened; the child must not touch that database."""

    def __init__(self, url: str) -> None:
        self.url = url
        super().__init__(
            f"the store {url} was opened before this process was forked, and a database connection does not "
            "survive a fork, nor may the child open the same file. Start children with the 'spawn' or "
            "'forkserver' method, or fork before connecting."
        )


class ForeignDatabaseError(StoreError):
    """There is something at this address, but it is not a perdure database; it was left untouched."""

    def __init__(self, url: str, why: str) -> None:
        self.url = url
        self.why = why
        super().__init__(f"{url} is not a perdure database: {why}. It was left untouched; check the address.")


class NewerSchemaError(StoreError):
    """A newer perdure wrote this database; it was left untouched."""

    def __init__(self, url: str, found: int, known: int) -> None:
        self.url = url
        self.found = found
        self.known = known
        super().__init__(
            f"{url} has schema version {found}, and this perdure knows versions up to {known}. It was left "
            "untouched; upgrade perdure."
        )


class WorkerDeadError(HistoryError):
    """Others declared this worker dead, for ever: nothing was written, and its runs belong to others."""

    def __init__(self, incarnation: str) -> None:
        self.incarnation = incarnation
        super().__init__(
            f"worker {incarnation} was declared dead by another worker; it writes nothing more and must register "
            "as a new incarnation"
        )


class CorruptHistoryError(HistoryError):
    """Stored bytes that do not decode, or do not chain to what is before them."""

    def __init__(self, run_id: str, seq: int, why: str) -> None:
        self.run_id = run_id
        self.seq = seq
        self.why = why
        super().__init__(
            f"event {seq} of run {run_id} is corrupt: {why}. The run is set aside and its history left as it is; "
            "`perdure verify` lists what else was changed, and a backup holds the original."
        )
