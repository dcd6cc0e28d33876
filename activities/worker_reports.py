"""The activity with which a worker says what it has."""

from collections.abc import Callable

from temporalio import activity

from darkroom.domain.worker_reports import WorkerReport


class WorkerReportActivities:
    """Answers for this process."""

    def __init__(self, describe: Callable[[], WorkerReport]) -> None:
        self._describe = describe

    @activity.defn
    async def report_worker(self) -> WorkerReport:
        """What this worker has now."""
        info = activity.info()
        identity = activity.client().identity
        return self._describe().model_copy(update={"task_queue": info.task_queue, "identity": identity})
