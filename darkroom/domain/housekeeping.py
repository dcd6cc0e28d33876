"""What housekeeping found."""

from darkroom.domain.model import Value


class Tidied(Value):
    """What was repaired, and what an audit still finds."""

    failed_jobs: int = 0
    """Rows of workflows that were ended from outside, now `failed`."""
    released_holds: int = 0
    removed_objects: int = 0
    finished_deletes: int = 0
    """Interrupted deletes, now without files."""
    purged_jobs: int = 0
    """Jobs that ended longer ago than pictures are kept."""
    findings: int = 0
    stuck_workflows: int = 0
    """Workflows whose task keeps failing; housekeeping names them, and leaves them alone."""
