"""How a job stands, in words; the command line and the page say the same."""

from darkroom.domain.progress import JobStatus, Progress


def how_it_stands(progress: Progress) -> str:
    """How the job stands or ended, in a few words."""
    missing = progress.total_images - progress.completed_images
    match progress.status:
        case JobStatus.PENDING:
            return "waiting to start"
        case JobStatus.PROCESSING:
            return _running(progress)
        case JobStatus.COMPLETED if missing:
            return f"completed, {missing:,} missing"
        case JobStatus.FAILED:
            return f"failed: {progress.error_message or 'nothing was delivered'}"
        case _:
            return str(progress.status)


def _running(progress: Progress) -> str:
    if progress.cancel_requested:
        return "cancelling: waiting for calls in progress"
    return f"paused: {progress.pause_reason or 'until resumed'}" if progress.paused else "running"
