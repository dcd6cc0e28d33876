"""Whether a restart of an ended job can help; command line, API and page all ask here."""

from darkroom.domain.progress import Progress
from darkroom.domain.stage_state import CEILING, REFUSED_FOR_GOOD


def why_no_restart(progress: Progress) -> str | None:
    """Why a restart of an ended job would deliver nothing, as the end of a sentence about the job; None when it may."""
    if 0 < progress.total_images <= progress.completed_images:
        return f"delivered all {progress.total_images} images; nothing is left to restart"
    reasons = [stage.reason or "" for stage in progress.stages if stage.completed < stage.quantity]
    spent = sum(reason == CEILING for reason in reasons)
    refused = sum(reason.endswith(REFUSED_FOR_GOOD) for reason in reasons)
    if not reasons or spent + refused < len(reasons):
        return None
    if refused == 0:
        return "has used up its max_credits; order what is missing as a new job"
    if spent == 0:
        return "was refused for good; order what is missing with another prompt or other references"
    return "has used up its max_credits, and was refused for good; order what is missing as a new job"
