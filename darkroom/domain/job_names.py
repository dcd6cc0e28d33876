"""What people call their jobs."""

from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator

from darkroom.domain.clean_text import one_clean_line, refuse_unclean
from darkroom.domain.visible import is_visible

LONGEST_NAME = 120
"""Characters (spec §1)."""


def _stripped(value: Any) -> Any:
    """A name without what stands around it; one of which nothing can be seen is none."""
    return (value.strip() if is_visible(value) else None) if isinstance(value, str) else value


def checked_name(name: str | None) -> str | None:
    """A name as somebody gives it; None for one of which nothing can be seen.

    Raises:
        ValueError: it is too long, or may not be shown as it is.
    """
    kept: str | None = _stripped(name)
    if kept is None:
        return None
    if len(kept) > LONGEST_NAME:
        raise ValueError(f"has {len(kept):,} characters; use at most {LONGEST_NAME}")
    return refuse_unclean(kept)


def _shown(value: Any) -> Any:
    return _stripped(one_clean_line(value)[:LONGEST_NAME]) if isinstance(value, str) else value


GivenName = Annotated[str | None, BeforeValidator(_stripped), AfterValidator(checked_name)]
"""Refused unless it may be shown as it is."""

KeptName = Annotated[str | None, BeforeValidator(_shown)]
"""As the records have it: whoever may write a job's row may have written anything."""
