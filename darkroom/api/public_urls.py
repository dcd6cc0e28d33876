"""The URLs of jobs and pictures in answers, as whoever asked can reach them."""

from dataclasses import dataclass
from uuid import UUID

from darkroom.api.shapes import JobUrls, SummaryUrls
from darkroom.api.signed_urls import Addresses


@dataclass(frozen=True)
class PublicUrls:
    """Makes the URLs of one request's answer.

    Signatures are made over what is shown and not over the path, so that a picture's address holds behind any prefix.
    """

    prefix: str
    """As `root_path.prefix_of` gives it."""
    addresses: Addresses

    def file(self, attach_id: int) -> str:
        """Of the picture as it is stored, signed."""
        return self.prefix + self.addresses.file(attach_id)

    def thumbnail(self, attach_id: int) -> str:
        """Of a small one, signed."""
        return self.prefix + self.addresses.thumbnail(attach_id)

    def job(self, job_id: UUID, temporal_ui: str | None = None) -> JobUrls:
        """Of a job and what belongs to it; `temporal_ui` is another server's and stays as it is."""
        base = f"{self.prefix}/api/jobs/{job_id}"
        return JobUrls(
            self=base,
            order=f"{base}/order",
            events=f"{base}/events",
            images=f"{base}/images",
            receipt=f"{base}/receipt",
            archive=f"{base}/archive.zip",
            cancel=f"{base}/cancel",
            pause=f"{base}/pause",
            resume=f"{base}/resume",
            restart=f"{base}/restart",
            deletion=f"{base}/deletion",
            page=f"{self.prefix}/jobs/{job_id}",
            temporal=temporal_ui,
        )

    def listed(self, job_id: UUID) -> SummaryUrls:
        """Of a job in a list."""
        return SummaryUrls(self=f"{self.prefix}/api/jobs/{job_id}", page=f"{self.prefix}/jobs/{job_id}")
