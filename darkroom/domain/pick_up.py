"""Which of the rows that front ends insert are ours to start, where another worker takes from the same tables."""

from datetime import datetime

from darkroom.domain.jobs import JobRow
from darkroom.domain.model import Value
from darkroom.domain.orders import JobType
from darkroom.domain.progress import JobStatus


class PickUp(Value):
    """Pending rows that are started; what Darkroom has opened goes on whatever this says."""

    pending: bool = True
    """Whether any are."""
    since: datetime | None = None
    """Only those that were inserted after this moment."""
    types: tuple[JobType, ...] = ()
    """Only those whose row has one of these types; without any, all."""

    def takes(self, job: JobRow) -> bool:
        """Whether a job without a workflow gets one."""
        if job.status is not JobStatus.PENDING:
            return True
        late_enough = self.since is None or job.created_at > self.since
        return self.pending and late_enough and (not self.types or job.job_type in self.types)
