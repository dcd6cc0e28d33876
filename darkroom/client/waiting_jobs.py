"""Finds jobs that should have a workflow and have none: `up` and the Temporal Schedule both ask here."""

from time import monotonic

import structlog

from darkroom.client.jobs import Client

LOOK_FOR_PROCESSING_EVERY = 60.0
"""Seconds between checks of processing jobs too: one without a workflow is rare, there may be a thousand."""

log = structlog.get_logger("darkroom.client.waiting_jobs")


class WaitingJobs:
    """Starts what a front end inserted as `pending`, and what a lost Temporal database left `processing`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._looked_for_processing: float | None = None

    async def start(self) -> int:
        """Look once; how many workflows were started.

        Raises:
            RecordsUnavailable: the records cannot be read now.
            RPCError: Temporal cannot be asked now.
        """
        last = self._looked_for_processing
        processing = last is None or monotonic() - last >= LOOK_FOR_PROCESSING_EVERY
        started = await self._client.start_waiting_jobs(processing=processing)
        if processing:
            self._looked_for_processing = monotonic()
        if started:
            log.info("started waiting jobs", jobs=started)
        return started
