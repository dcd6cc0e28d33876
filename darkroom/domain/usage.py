"""What a user has of what the deployment limits."""

from darkroom.domain.model import Value


class Usage(Value):
    """What a user has now."""

    open_jobs: int
    """Jobs that have not ended."""
    stored_bytes: int
    """Of the pictures that they uploaded; what they ordered is paid for."""
