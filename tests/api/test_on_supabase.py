"""The API over a Supabase project: its users' tokens, its records, its pictures."""

import io
import time
import zipfile
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import jwt
from PIL import Image
from pydantic import SecretStr

from darkroom.api.services import put_together
from tests.support.fakes.scripted import tiny_picture
from tests.support.stacks.api import Event, parsed, serving
from tests.support.stacks.process import running_darkroom
from tests.support.supabase.local import LocalSupabase
from tests.support.until import until

SECRET = "what the project signs its users' tokens with"


def token(user: UUID) -> str:
    return jwt.encode({"sub": str(user), "aud": "authenticated", "exp": time.time() + 300}, SECRET, "HS256")


async def test_a_user_orders_after_a_reference_watches_and_takes_home(tmp_path: Path, supabase: LocalSupabase) -> None:
    async with running_darkroom(tmp_path, supabase) as darkroom:
        settings = darkroom.parts.settings.model_copy(update={"supabase_jwt_secret": SecretStr(SECRET)})
        services = put_together(replace(darkroom.parts, settings=settings))
        assert services.sign_in.needed
        await darkroom.worker.start({"OFFLINE_LATENCY": "0.2", "OFFLINE_MISS_RATE": "0.2", "TOP_UP_DELAY": "0.1"})
        headers = {"Authorization": f"Bearer {token(darkroom.user)}"}
        async with (
            serving(services) as url,
            httpx.AsyncClient(base_url=url, headers=headers, timeout=30, trust_env=False) as http,
        ):
            reference = await http.post("/api/attachments", files={"file": ("a.png", tiny_picture(), "image/png")})
            assert reference.status_code == 201, reference.text
            stages = [
                {"prompt": "a lemon", "quantity": 7, "mergedImageAttachId": reference.json()["attach_id"]},
                {"prompt": "a vase", "quantity": 3},
            ]
            headers_of_order = {"Idempotency-Key": "spring-1"}
            answers = [await http.post("/api/jobs", json={"stages": stages}, headers=headers_of_order) for _ in "ab"]
            assert {answer.status_code for answer in answers} == {202}
            [job_id] = {answer.json()["job_id"] for answer in answers}
            other = await http.post("/api/jobs", json={"stages": stages[1:]}, headers=headers_of_order)
            assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")

            events: list[Event] = []
            async with http.stream("GET", f"/api/jobs/{job_id}/events") as answer:
                async for event in parsed(answer.aiter_lines()):
                    events.append(event)  # noqa: PERF401 - shown when the stream breaks
            images = [event.data for event in events if event.name == "image"]
            assert [image["number"] for image in images] == list(range(1, 11))
            assert {(image["stage_index"], image["position"]) for image in images} == {
                *((0, position) for position in range(7)),
                *((1, position) for position in range(3)),
            }
            assert (events[-1].name, events[-1].data["credits"]["spent"]) == ("end", 200)

            for image in images[:2]:
                for address in (image["url"], image["thumbnail_url"]):
                    shown = await http.get(address)
                    with Image.open(io.BytesIO(shown.content)) as picture:
                        assert picture.format == "WEBP"
            package = (await http.get(f"/api/jobs/{job_id}/archive.zip")).content
            with zipfile.ZipFile(io.BytesIO(package)) as archive:
                assert archive.testzip() is None
                assert len(archive.namelist()) == 12
            [listed] = (await http.get("/api/jobs")).json()["jobs"]
            assert (listed["title"], listed["completed_images"], len(listed["previews"])) == ("a lemon", 10, 6)

            stranger = {"Authorization": f"Bearer {token(uuid4())}"}
            for path in ("", "/events", "/images", "/receipt", "/archive.zip", "/order"):
                assert (await http.get(f"/api/jobs/{job_id}{path}", headers=stranger)).status_code == 404
            assert (await http.get("/api/jobs", headers=stranger)).json()["jobs"] == []
            darkroom.jobs.append(UUID(job_id))
        await darkroom.check_invariants()


async def test_records_that_are_away_are_an_outage_and_the_stream_goes_on_after(
    tmp_path: Path, supabase: LocalSupabase
) -> None:
    async with running_darkroom(tmp_path, supabase) as darkroom:
        settings = darkroom.parts.settings.model_copy(update={"supabase_jwt_secret": SecretStr(SECRET)})
        services = put_together(replace(darkroom.parts, settings=settings))
        await darkroom.worker.start({"OFFLINE_LATENCY": "0.5", "STAGE_CONCURRENCY": "3"})
        headers = {"Authorization": f"Bearer {token(darkroom.user)}"}
        async with (
            serving(services) as url,
            httpx.AsyncClient(base_url=url, headers=headers, timeout=60, trust_env=False) as http,
        ):
            job_id = await darkroom.order(12)
            numbers: list[int] = []
            broken = False
            async with http.stream("GET", f"/api/jobs/{job_id}/events") as answer:
                async for event in parsed(answer.aiter_lines()):
                    if event.name == "image":
                        numbers.append(event.data["number"])
                    if len(numbers) == 2 and not broken:
                        broken = True
                        supabase.project.kill_postgrest()
                        asked = await http.get(f"/api/jobs/{job_id}")
                        assert (asked.status_code, asked.json()["code"]) == (503, "unavailable")
                        assert int(asked.headers["retry-after"]) > 0
                        assert (await http.get("/readyz")).status_code == 503
                        supabase.project.start_postgrest()
            assert numbers == list(range(1, 13))

            async def ready() -> bool:
                return (await http.get("/readyz")).status_code == 200

            await until(ready, "the API to be ready again")
        await darkroom.check_invariants()
