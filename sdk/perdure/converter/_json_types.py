"""Where users teach the converter classes that it does not know."""

from typing import Any, ClassVar


class JSONTypeConverter:
    """Turns objects of a foreign class into JSON values and back.

    Asked only about classes that the converter does not know by itself, in the order in which the
    PayloadConverter got them. Both directions must be pure: they run again on replay.
    """

    Unhandled: ClassVar[object] = object()
    """Answer of either method: ask the next one."""

    def to_jsonable(self, value: Any) -> Any:
        """What stands for `value`: builtins, or anything else that the converter knows."""
        return self.Unhandled

    def to_typed_value(self, hint: type, value: Any) -> Any:
        """The object of class `hint` that `value`, as read from JSON, stands for."""
        return self.Unhandled
