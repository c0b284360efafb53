"""What a function's signature says, asked once at decoration; and how a call fits it."""

import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from perdure.exceptions import ArgumentError

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, slots=True)
class CallShape:
    """Which calls a function accepts. Without `self`, for methods."""

    signature: inspect.Signature
    least: int
    """Positional arguments that a call must have."""
    most: int | None
    """None: any number."""

    def arguments(
        self, what: str, positional: tuple[Any, ...], keywords: Mapping[str, Any] | None = None
    ) -> tuple[Any, ...]:
        """The call's arguments by position. `what` is the callee, for ArgumentError, raised when they do not fit."""
        if (
            not keywords
            and len(positional) >= self.least
            and (self.most is None or len(positional) <= self.most)
        ):
            return positional
        try:
            bound = self.signature.bind(*positional, **(keywords or {}))
        except TypeError as error:
            raise ArgumentError(what, str(self.signature), str(error)) from None
        # Defaults stay out of the record when nothing comes after them, as in a call without keywords.
        last = max(list(self.signature.parameters).index(name) for name in bound.arguments)
        bound.apply_defaults()
        return bound.args[: max(last + 1, len(positional))]

    def parameter(self, index: int) -> str:
        """Name of the parameter that takes the positional argument at `index`."""
        names = list(self.signature.parameters)
        return names[min(index, len(names) - 1)] if names else f"argument {index + 1}"


def call_shape(signature: inspect.Signature) -> CallShape:
    """The shape of a signature without keyword-only parameters."""
    positional = [one for one in signature.parameters.values() if one.kind in _POSITIONAL]
    variadic = any(one.kind is inspect.Parameter.VAR_POSITIONAL for one in signature.parameters.values())
    return CallShape(
        signature,
        least=sum(one.default is inspect.Parameter.empty for one in positional),
        most=None if variadic else len(positional),
    )


def signature_of(function: Callable[..., Any], *, is_method: bool) -> inspect.Signature:
    """The signature, without `self` for a method."""
    signature = inspect.signature(function)
    return signature.replace(parameters=list(signature.parameters.values())[1:]) if is_method else signature


def parameter_problems(signature: inspect.Signature) -> list[str]:
    """Parameters that recorded arguments cannot fill."""
    return [
        f"parameter {one.name!r} is {one.kind.description}, and recorded arguments have no names; make it positional"
        for one in signature.parameters.values()
        if one.kind in (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD)
    ]


def types_of(
    function: Callable[..., Any], signature: inspect.Signature
) -> tuple[tuple[Any, ...] | None, Any]:
    """Types of the parameters and of the result.

    None for the parameters when some of them are not annotated or variadic; Any for the result when it is not
    annotated. Annotations that name what does not exist at runtime count as missing.
    """
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError, AttributeError, SyntaxError):
        return None, Any
    parameters = list(signature.parameters.values())
    result = hints.get("return", Any)
    if all(one.kind in _POSITIONAL and one.name in hints for one in parameters):
        return tuple(hints[one.name] for one in parameters), result
    return None, result


def is_written_as_method(function: Callable[..., Any], signature: inspect.Signature) -> bool:
    """Whether a function stands in a class body and takes `self`."""
    body = getattr(function, "__qualname__", "").rpartition(".")[0]
    if not body or body.endswith("<locals>"):
        return False
    return next(iter(signature.parameters), "") == "self"


def one_or_many(arg: Any, args: Sequence[Any], unset: object, what: str) -> tuple[Any, ...]:
    """The arguments of a call that has `arg` or `args`; ArgumentError when it has both."""
    if arg is unset:
        return tuple(args)
    if args:
        raise ArgumentError(what, "", "it has both arg and args; pass several arguments as args=[...]")
    return (arg,)
