"""The same server as the workflow tests, and the same processes as the end-to-end tests."""

from tests.end_to_end.conftest import darkroom
from tests.workflows.conftest import home, quick_retries, skipping_client

__all__ = ["darkroom", "home", "quick_retries", "skipping_client"]
