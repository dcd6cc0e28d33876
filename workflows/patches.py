"""Changes of the workflows' commands that runs of older versions do not know: the ids of `workflow.patched`.

A patch stays until no history that lacks it can be replayed any more, which is the retention of the namespace
after the last job of the version before it has ended. Each costs a marker and a write of search attributes when an
execution first meets it. So what every job meets goes by the generation of its run instead (`darkroom.domain.jobs`).
"""

from temporalio import workflow


def has(generation: int, patch: str) -> bool:
    """Whether an execution makes a change that every run of generation 1 makes."""
    return generation >= 1 or workflow.patched(patch)


APPLIED_FIRST = "applied-first"
"""0.2: what follows from a cancel waits until the job's row says it."""

APPLIED_LATE = "applied-late"
"""0.2: a batch that decided nothing, because a pause and its resume that were requested before it began reached it
late, does not end its round."""

SALVAGE_LAST = "salvage-last"
"""0.2: every stage that ends short looks for what is paid for and staged; before, the batches did, and after a cancel
only."""

HELD_ENDS = "held-ends"
"""0.2: a batch whose calls are held by the job's row, while nobody told it of a pause, ends and says so."""

CONTINUES = "continues"
"""0.2: a job whose history has become long continues as new at a quiet moment."""

DRAINS = "drains"
"""0.2: a job that makes a moment to continue as new tells its batches to begin nothing more, instead of waiting for
their ends: where pauses are short, none comes."""

IDS_OF_ENDED = "ids-of-ended"
"""0.2: a job that continues as new reads the ids of the stages that had ended before, too."""

QUOTAS_GROW = "quotas-grow"
"""0.2: pauses for a quota that is never back grow longer, and long ones end some minutes after the hour."""

TABLE_REFRESHED = "table-refreshed"
"""0.2: once a minute without a delivery or a miss, the job asks the records for the retries of its calls."""

OWN_TIMER = "own-timer"
"""0.2: the timer of a quota's pause is cancelled by us. `wait_condition` cancels its own at another point in Python
3.12 and newer than in 3.11, so a job that was paused under one could not be resumed under the other."""
