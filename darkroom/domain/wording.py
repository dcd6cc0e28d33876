"""How other programs' messages are put into ours."""

from collections.abc import Callable, Mapping
from typing import Any


def in_a_sentence(message: str) -> str:
    """The message with a small first letter, as it stands after a colon; `UUID`, `JSON` and the like stay."""
    return message if message[1:2].isupper() else message[:1].lower() + message[1:]


_FIXED = {
    "missing": "is missing",
    "extra_forbidden": "is unknown; remove it",
    "json_invalid": "is not valid JSON",
    **dict.fromkeys(("string_type", "string_sub_type"), "must be a string"),
    **dict.fromkeys(("int_type", "int_parsing", "int_from_float"), "must be a whole number"),
    "int_parsing_size": "has too many digits",
    **dict.fromkeys(("float_type", "float_parsing"), "must be a number"),
    "finite_number": "must be a finite number",
    **dict.fromkeys(("bool_type", "bool_parsing"), "must be true or false"),
    **dict.fromkeys(("list_type", "tuple_type", "set_type"), "must be a list"),
    **dict.fromkeys(("dict_type", "model_type", "model_attributes_type", "mapping_type"), "must be an object"),
    **dict.fromkeys(
        ("uuid_type", "uuid_parsing", "uuid_version"), "must be a UUID, such as 123e4567-e89b-42d3-a456-426614174000"
    ),
    **dict.fromkeys(
        ("date_type", "date_parsing", "date_from_datetime_parsing", "date_from_datetime_inexact"),
        "must be a date, such as 2026-01-31",
    ),
    **dict.fromkeys(
        ("datetime_type", "datetime_parsing", "datetime_from_date_parsing", "timezone_aware"),
        "must be a time, such as 2026-01-31T12:00:00Z",
    ),
    "string_pattern_mismatch": "contains characters that are not allowed here",
    "string_unicode": "must be valid Unicode text",
}
_WITH_LIMITS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "greater_than": lambda limits: f"must be greater than {limits['gt']}",
    "greater_than_equal": lambda limits: f"must be at least {limits['ge']}",
    "less_than": lambda limits: f"must be less than {limits['lt']}",
    "less_than_equal": lambda limits: f"must be at most {limits['le']}",
    "string_too_long": lambda limits: f"must have at most {limits['max_length']} characters",
    "string_too_short": lambda limits: _at_least(limits["min_length"], "characters"),
    "too_long": lambda limits: f"must have at most {limits['max_length']} entries",
    "too_short": lambda limits: _at_least(limits["min_length"], "entries"),
    "literal_error": lambda limits: f"must be {limits['expected']}",
    "enum": lambda limits: f"must be {limits['expected']}",
}


def _at_least(least: int, things: str) -> str:
    return "must not be empty" if least == 1 else f"must have at least {least} {things}"


def reason_of(error: Mapping[str, Any]) -> str:
    """What one of pydantic's errors says, in our words: the reason, and what is allowed instead."""
    kind = error["type"]
    if kind in _FIXED:
        return _FIXED[kind]
    if kind in _WITH_LIMITS:
        return _WITH_LIMITS[kind](error["ctx"])
    return in_a_sentence(str(error["msg"]).removeprefix("Value error, ")).replace("Input", "input")
