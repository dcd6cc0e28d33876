"""What the machine is set up for reaches no provider."""

import pytest


@pytest.fixture(autouse=True)
def no_proxy_and_no_google_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients read these from the environment themselves."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("GOOGLE_API_KEY", "GEMINI_API_KEY", "GOOGLE_GENAI_API_VERSION"):
        monkeypatch.delenv(name, raising=False)
