"""The base of all errors, and those that say that a call cannot be meant: nothing was written yet.

The whole tree is drawn in `perdure.exceptions`, from where users import it.
"""

from collections.abc import Sequence


class PerdureError(Exception):
    """Base of everything that perdure raises on purpose."""

    @property
    def cause(self) -> BaseException | None:
        """What led to this error: its `__cause__`."""
        return self.__cause__


class DefinitionError(PerdureError, ValueError):
    """A decorator cannot make a workflow or an activity of what it was put on."""

    def __init__(self, target: str, problems: Sequence[str]) -> None:
        self.target = target
        self.problems = tuple(problems)
        super().__init__(f"{target} cannot be defined: {'; '.join(self.problems)}")


class NotDefinedError(PerdureError, TypeError, ValueError):
    """Something was used as a workflow, activity, signal or query that is none."""

    def __init__(self, kind: str, shown: str, cure: str) -> None:
        self.kind = kind
        self.shown = shown
        self.cure = cure
        super().__init__(f"{shown} is no {kind}: {cure}")


class ArgumentError(PerdureError, TypeError):
    """The arguments of a call do not fit the signature of what it calls; nothing was written."""

    def __init__(self, what: str, signature: str, why: str) -> None:
        self.what = what
        self.signature = signature
        self.why = why
        super().__init__(f"{what}{signature} cannot be called like this: {why}. Nothing was written.")


class InvalidOptionError(PerdureError, ValueError):
    """An option has a value that makes no sense; nothing was done."""

    def __init__(self, option: str, value: object, why: str) -> None:
        self.option = option
        self.value = value
        self.why = why
        super().__init__(f"{option}={value!r} cannot be used: {why}")


class DurationError(InvalidOptionError):
    """A duration that cannot be read, or is out of range."""

    def __init__(self, option: str, value: object, why: str) -> None:
        super().__init__(
            option, value, f"{why}. Pass a timedelta, a text such as '30s' or '1h30m', or a number of seconds"
        )


class ConversionError(PerdureError):
    """Base of errors between user values and payloads."""


class EncodingError(ConversionError, TypeError, ValueError):
    """A value cannot be recorded such that it reads back the same; nothing was written."""

    def __init__(self, path: str, why: str, cure: str, *, owner: str = "") -> None:
        self.path = path
        """Where in the value, such as ``order.items[3].price``."""
        self.why = why
        self.cure = cure
        self.owner = owner
        """Whose value it is, such as ``activity 'charge'``; empty when unknown."""
        whose = f" of {owner}" if owner else ""
        super().__init__(f"{path}{whose} cannot be encoded: {why}. Nothing was written. {cure}")

    def named(self, name: str, owner: str) -> "EncodingError":
        """The same error, told with the name of the argument and of whom it was for."""
        rest = self.path[len("value") :] if self.path.startswith("value") else f".{self.path}"
        return EncodingError(name + rest, self.why, self.cure, owner=owner)


class PayloadTooLargeError(EncodingError):
    """A value has more bytes than one payload may have; nothing was written."""

    def __init__(self, path: str, size: int, limit: int, *, owner: str = "") -> None:
        self.size = size
        self.limit = limit
        super().__init__(
            path,
            f"it has {size} bytes, and a payload may have {limit}",
            "Pass a reference to the data (a path, a key) instead of the data, or raise size_limit.",
            owner=owner,
        )

    def named(self, name: str, owner: str) -> EncodingError:
        """The same error, told with the name of the argument and of whom it was for."""
        return PayloadTooLargeError(
            name + self.path.removeprefix("value"), self.size, self.limit, owner=owner
        )


class DecodingError(ConversionError, TypeError, ValueError):
    """What was recorded does not fit the type that code expects; the record is unchanged."""

    def __init__(self, expected: str, path: str, why: str, *, owner: str = "") -> None:
        self.expected = expected
        """The type that was asked for."""
        self.path = path
        """Where in the recorded value, such as ``value.items[3].price``."""
        self.why = why
        self.owner = owner
        """Whose value it is, such as ``argument 'order' of workflow 'ship'``; empty when unknown."""
        whose = f" ({owner})" if owner else ""
        super().__init__(
            f"{path}{whose} does not decode as {expected}: {why}. The record is unchanged; make the annotation fit "
            "what is recorded, or pass what the annotation says."
        )

    def owned_by(self, owner: str) -> "DecodingError":
        """The same error, told with whose value it was."""
        return DecodingError(self.expected, self.path, self.why, owner=owner)


class NotInWorkflowError(PerdureError, RuntimeError):
    """Something that only a running workflow has was used outside of one."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(
            f"{what} works only in workflow code: in an @workflow.defn function, or in the run method and handlers "
            "of an @workflow.defn class, on the event loop of the run. Activities and threads are outside."
        )


class NotInActivityError(PerdureError, RuntimeError):
    """Something that only a running activity has was used outside of one."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(
            f"{what} works only in activity code that a worker runs: in an @activity.defn function, and in tasks "
            "and threads that carry its context (contextvars.copy_context)."
        )
