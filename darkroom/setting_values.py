"""Values of settings, from the text that the environment has; others are left to the settings' types."""

import os
from collections.abc import Iterable
from datetime import datetime

from darkroom.domain.clean_text import one_clean_line
from darkroom.domain.orders import JobType
from darkroom.domain.secret_text import HIDDEN, without_secrets

_SHORTEST_SECRET = 6
"""Characters: a shorter one would hide words that merely contain it."""


def shown(message: str, secrets: Iterable[str]) -> str:
    """What is said of a setting, without secrets: a key is easily given to the setting beside its own.

    Args:
        message: about the value, which it may quote.
        secrets: the names of settings whose values are secrets.
    """
    for name in secrets:
        value = os.environ.get(name.upper(), "").strip()
        if len(value) >= _SHORTEST_SECRET:
            message = message.replace(value, HIDDEN)
    return without_secrets(one_clean_line(message))


def read_list(value: object) -> object:
    """What commas separate."""
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def read_latency(value: object) -> object:
    """Seconds, or a range of them."""
    if not isinstance(value, str):
        return value
    low, _, high = value.partition("-")
    try:
        bounds = (float(low), float(high or low))
    except ValueError:
        raise ValueError("must be seconds or a range of seconds, such as 2 or 0.5-1.5") from None
    if not 0 <= bounds[0] <= bounds[1] <= 3600:
        raise ValueError("must be from 0 to 3600 seconds, the lower bound first")
    return bounds


def read_size(value: object) -> object:
    """Width and height in pixels."""
    if not isinstance(value, str):
        return value
    width, _, height = value.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and 16 <= int(width) <= 8192 and 16 <= int(height) <= 8192):
        raise ValueError("must be width x height in pixels, each from 16 to 8192, such as 1376x768")
    return int(width), int(height)


def read_moment(value: object) -> object:
    """A time that is the same everywhere."""
    if not isinstance(value, str):
        return value
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValueError("must be a time with its time zone, such as 2026-11-27T09:00:00Z")
    return moment


def read_job_types(value: object) -> object:
    """Job types, separated by commas."""
    names = read_list(value)
    if isinstance(names, list) and not {*names} <= {*JobType}:
        raise ValueError(f"must be job types separated by commas, of {', '.join(JobType)}")
    return names
