"""The plain structs that cross the store's boundary."""

import enum

import msgspec

from perdure_history.ids import RunId


class RunStatus(enum.StrEnum):
    """Where a run stands. All but RUNNING are final."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"
    TERMINATED = "terminated"
    CONTINUED_AS_NEW = "continued_as_new"
    TIMED_OUT = "timed_out"


class IdReusePolicy(enum.StrEnum):
    """May a workflow id be used again after its last run closed?"""

    ALLOW_DUPLICATE = "allow_duplicate"
    ALLOW_DUPLICATE_FAILED_ONLY = "allow_duplicate_failed_only"
    REJECT_DUPLICATE = "reject_duplicate"
    TERMINATE_IF_RUNNING = "terminate_if_running"


class IdConflictPolicy(enum.StrEnum):
    """What happens when a workflow id is started while it has an open run?"""

    FAIL = "fail"
    USE_EXISTING = "use_existing"
    TERMINATE_EXISTING = "terminate_existing"


class EventRow(msgspec.Struct, frozen=True, gc=False):
    """One row of `perdure_history` within its run."""

    seq: int
    turn: int | None
    """The turn it is input to or output of; None for a note."""
    type: str
    attributes: str
    recorded_at: int
    """Store time; equal for all rows of a turn."""
    actor: str
    """Who caused it: a client's identity, or the worker's for what workflow code and activities did."""
    hash: bytes


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The mutable summary of a run: one row of `perdure_runs`."""

    run_id: RunId
    namespace: str
    workflow_id: str
    nth: int
    """1 for the first run under this workflow id."""
    workflow_type: str
    task_queue: str
    status: RunStatus
    started_at: int
    closed_at: int | None = None
    request_id: str = ""
    owner: str | None = None
    """Incarnation of the worker that holds the run."""
    epoch: int = 0
    """Counts claims."""
    wake_at: int | None = None
    """When an unowned open run next wants attention; None while it is owned or closed."""
    orphaned_by: str | None = None
    """The worker that died while holding the run; None again once its lost attempts are noted."""
    claims: int = 0
    """Claims that followed a worker's death while the history did not grow, the present one included."""
    problem: str | None = None
    """JSON of a `TurnProblem`: why the run does not move; None while it does."""
    history_length: int | None = None
    """Number of events, set when the run closes."""
    memo: str | None = None
    search_attributes: str | None = None
    parent_run_id: str | None = None
    fork_run_id: str | None = None
    fork_seq: int | None = None


class TurnProblem(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Why a run's turn could not be computed or committed; shown wherever the run is shown."""

    kind: str
    """The exception's class, such as NonDeterminismError."""
    message: str
    traceback: str = ""
    attempts: int = 1
    first_at: int = 0
    next_at: int = 0
    """When a worker tries again, by store time."""


_problem_text = msgspec.json.Encoder()
_problem_decoder = msgspec.json.Decoder(TurnProblem)


def encode_problem(problem: TurnProblem) -> str:
    """The text of the column `problem`."""
    return _problem_text.encode(problem).decode()


def decode_problem(text: str) -> TurnProblem:
    """The problem that `encode_problem` wrote down."""
    return _problem_decoder.decode(text)


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """Something sent to a run, not yet taken into its history: one row of `perdure_inbox`."""

    id: int
    run_id: RunId
    type: str
    """Type of the input event it becomes."""
    attributes: str
    """Text of that event, final: taking it changes no byte."""
    request_id: str
    actor: str
    sent_at: int


class StartRun(msgspec.Struct, frozen=True, kw_only=True):
    """A request for a new run. Asking again with the same request id gives the same run."""

    run_id: RunId
    namespace: str
    workflow_id: str
    workflow_type: str
    task_queue: str
    request_id: str
    first_event: EventRow
    """WorkflowExecutionStarted, sealed with seq 1 and turn 1."""
    id_reuse_policy: IdReusePolicy = IdReusePolicy.ALLOW_DUPLICATE
    id_conflict_policy: IdConflictPolicy = IdConflictPolicy.FAIL
    owner: str | None = None
    """Incarnation of a live worker in this process that takes the run at once; else any worker claims it.
    When that worker is no longer live the run is inserted without an owner."""
    memo: str | None = None
    search_attributes: str | None = None


class StartOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a StartRun."""

    run_id: RunId
    created: bool
    """False: an open run was used, as the conflict policy says, or the request had been granted before."""
    owner: str | None = None


class SendMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A request to put a message into a run's inbox."""

    namespace: str
    workflow_id: str
    run_id: RunId | None
    """None: the newest run of the workflow id."""
    type: str
    attributes: str
    request_id: str
    actor: str
    sent_at: int


class TerminateRun(msgspec.Struct, frozen=True, kw_only=True):
    """A request to end a run without asking its code."""

    namespace: str
    workflow_id: str
    run_id: RunId | None
    reason: str
    attributes: str
    """Text of the WorkflowExecutionTerminated event."""
    request_id: str
    actor: str
    at: int


class RunUpdate(msgspec.Struct, frozen=True, kw_only=True):
    """What a turn changes in its run's summary. A plain step changes nothing and carries none of these."""

    status: RunStatus | None = None
    """A final status closes the run: the turn's last row is a closing event."""
    release: bool = False
    """Give the run up: owner becomes None, `wake_at` as below."""
    wake_at: int | None = None
    """With release: when the run next wants attention; None: only when a message comes."""
    problem: str | None = None
    """With release: JSON of a TurnProblem; None clears it."""
    set_problem: bool = False
    """Write `problem` (also without release)."""
    clear_orphaned: bool = False
    """The lost attempts of the run's former owner are noted by this commit."""


class TurnCommit(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One run's part of a commit: all of it lands, or none.

    A turn proper, notes, a release, or any mix of these. It is immutable: a retry sends the same bytes.
    """

    run_id: RunId
    prev_seq: int
    """The head it builds on; the run must have no later event."""
    prev_hash: bytes
    rows: tuple[EventRow, ...] = ()
    """Gap-free from prev_seq + 1."""
    taken: tuple[int, ...] = ()
    """Ids of the inbox rows that became inputs, or were duplicates of inputs; deleted with the commit."""
    update: RunUpdate | None = None
    ignore_unread: bool = False
    """Close or release although unread messages wait. Default: such a commit is refused with UNREAD.

    A release leaves them in the inbox. A close records them as undelivered notes just before the closing
    event, which is chained anew behind them, as `terminate_run` does: an acknowledged message is never lost.
    """


class Verdict(enum.Enum):
    """What became of one TurnCommit."""

    COMMITTED = "committed"
    STALE = "stale"
    """Someone else appended first, or owns the run: drop the live run and load it again if it is mine."""
    UNREAD = "unread"
    """It would have closed or released the run over unread messages: take them first."""


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A run that now belongs to the worker that asked."""

    run: RunRecord
    messages: tuple[Message, ...]
    """Its whole inbox, in order of acceptance."""


class WorkerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One row of `perdure_workers`."""

    incarnation: str
    identity: str
    task_queues: str
    """Names, separated by newlines; for people."""
    started_at: int
    beat: int = 0
    """Grows with each heartbeat; a lease lapses when an observer sees it unchanged for `lease_us`."""
    lease_us: int = 15_000_000
    """How long the worker's lease is; whoever watches the worker goes by this one, not by its own."""
    state: str = "live"
    """'live' or 'dead'; dead is for ever."""
    boot_id: str = ""
    """Of the machine's current boot, so that a lock on `lock_file` is only believed on that boot."""
    lock_file: str = ""
    """A file that the worker's process keeps locked while it lives; empty: the lease alone decides."""
    lock_inode: int = 0


class HeldLock(msgspec.Struct, frozen=True, kw_only=True):
    """What a worker writes into its row so that others can prove its death; empty where nothing can."""

    path: str = ""
    inode: int = 0
    boot_id: str = ""


class RunFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs to list or count: all conditions that are given must hold."""

    namespace: str
    statuses: tuple[RunStatus, ...] = ()
    workflow_types: tuple[str, ...] = ()
    workflow_id: str | None = None
    workflow_id_prefix: str | None = None
    run_id_prefix: str | None = None
    task_queue: str | None = None
    owner: str | None = None
    """Incarnation of the worker that holds them."""
    started_after: int | None = None
    started_before: int | None = None
    with_problem: bool | None = None


class RunPage(msgspec.Struct, frozen=True):
    """Some runs, newest start first, and where to go on."""

    runs: tuple[RunRecord, ...]
    cursor: str | None
    """Give it to the next call; None: this was the last page."""


class ChangeKind(enum.Enum):
    """What a listener of a store hears, after the commit that caused it."""

    STARTED = "started"
    """An unowned run is due now; `key` is its task queue."""
    ASSIGNED = "assigned"
    """A run was started for a worker of this process; `key` is the incarnation, `run_id` the run."""
    MESSAGE = "message"
    """A message for a run that is owned; `key` is the owner's incarnation."""
    CLOSED = "closed"
    """A run closed; `key` is its run id."""
    FOREIGN = "foreign"
    """Another process committed something; look at everything."""


class Change(msgspec.Struct, frozen=True, gc=False):
    """A hint: what is true stands in the store, and a listener must look there."""

    kind: ChangeKind
    key: str = ""
    run_id: str = ""
