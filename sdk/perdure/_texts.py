"""Names and summaries as users give them: only what every database can hold."""

from perdure.exceptions import InvalidOptionError

LONGEST = 1_000
"""Characters that a name or a summary may have."""


def checked_text(option: str, value: object) -> str:
    """`value`, when it is a text that can be recorded; else raises InvalidOptionError with the option's name."""
    if not isinstance(value, str):
        raise InvalidOptionError(option, value, f"it must be a text, and is a {type(value).__name__}")
    if not value:
        raise InvalidOptionError(option, value, "it is empty; leave it out instead")
    if len(value) > LONGEST:
        raise InvalidOptionError(
            option, f"{value[:60]}...", f"it has {len(value)} characters, at most {LONGEST}"
        )
    if "\0" in value or not _is_unicode(value):
        raise InvalidOptionError(option, value, "it holds U+0000 or a lone surrogate, which databases refuse")
    return value


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
