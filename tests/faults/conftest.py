"""The same server as the workflow tests."""

from tests.workflows.conftest import home, quick_retries, skipping_client

__all__ = ["home", "quick_retries", "skipping_client"]
