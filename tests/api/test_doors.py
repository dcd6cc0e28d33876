"""What every answer says to browsers, and the settings that would open the local user's door to all sites."""

import json

import httpx
import pytest

from darkroom.api.app import unopened_app
from darkroom.domain.errors import SettingRejected
from darkroom.settings import Settings
from tests.api.test_pictures import png
from tests.support.stacks.api import ApiStack


def test_all_origins_are_refused_where_nobody_signs_in() -> None:
    settings = Settings(_env_file=None, api_cors_origins=("https://shop.example", "*"))
    with pytest.raises(SettingRejected, match=r"API_CORS_ORIGINS=\*: .*sign-in"):
        unopened_app(settings)
    unopened_app(settings.model_copy(update={"api_host": "0.0.0.0"}))


@pytest.mark.parametrize("path", ["/", "/healthz", "/api/jobs", "/api/jobs/nonsense", "/docs", "/nothing-here"])
async def test_documents_are_kept_by_nobody_and_loaded_by_no_other_site(api: ApiStack, path: str) -> None:
    answer = await api.http.get(path)
    kind = answer.headers["content-type"]
    assert "json" in kind or "html" in kind
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"


async def test_pictures_are_kept_by_their_reader_alone(api: ApiStack) -> None:
    sent = await api.http.post("/api/attachments", files={"file": ("a.png", png(9, 9), "image/png")})
    assert sent.status_code == 201
    for name in ("url", "thumbnail_url"):
        answer = await api.http.get(sent.json()[name])
        kept = answer.headers["cache-control"]
        assert "private" in kept
        assert "immutable" in kept
        # The signed URL is the permission: front ends elsewhere show it in an <img>.
        assert answer.headers["cross-origin-resource-policy"] == "cross-origin"


ORDER = {"stages": [{"prompt": "fog", "quantity": 1}]}
JOB = "00000000-0000-4000-8000-000000000000"
WRONG = (
    ("/api/jobs", "multipart/form-data; boundary=x"),
    ("/api/jobs", "application/x-www-form-urlencoded"),
    ("/api/jobs", "text/plain"),
    ("/api/jobs", "application/xml"),
    ("/api/jobs/quote", "multipart/form-data; boundary=x"),
    (f"/api/jobs/{JOB}/cancel", "application/x-www-form-urlencoded"),
    (f"/api/jobs/{JOB}/cancel", "text/csv"),
    ("/api/attachments", "application/json"),
    ("/api/attachments", "text/csv"),
)


@pytest.mark.parametrize(("path", "kind"), WRONG)
async def test_a_body_of_another_type_than_the_route_reads_is_refused(api: ApiStack, path: str, kind: str) -> None:
    answer = await api.http.post(path, content=json.dumps(ORDER), headers={"Content-Type": kind})
    assert answer.status_code == 415, answer.text
    assert answer.headers["content-type"] == "application/problem+json"


async def test_the_right_type_is_read(api: ApiStack) -> None:
    answer: httpx.Response = await api.http.post("/api/jobs/quote", json=ORDER)
    assert answer.status_code == 200
