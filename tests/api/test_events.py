"""Server-sent events: every picture once, in order, for whoever follows, whenever they come."""

import asyncio
from collections import Counter
from datetime import timedelta
from uuid import UUID, uuid4

import pytest

from darkroom.api import feeds, job_feed
from darkroom.api.routes import events as events_route
from darkroom.api.sign_in import Caller, SignedInBy
from darkroom.api.standing import Watch
from tests.support.fakes.scripted import Act
from tests.support.stacks.api import ApiStack, Event, parsed
from tests.support.until import until


async def all_events(api: ApiStack, job_id: UUID, last_event_id: str | None = None) -> list[Event]:
    return [event async for event in api.events(job_id, last_event_id)]


def numbers(events: list[Event]) -> list[int]:
    return [event.data["number"] for event in events if event.name == "image"]


async def test_every_picture_is_told_once_and_then_the_end(api: ApiStack) -> None:
    job_id = await api.order(12, 8)
    events = await all_events(api, job_id)
    assert numbers(events) == list(range(1, 21))
    assert len({event.data["attach_id"] for event in events if event.name == "image"}) == 20
    assert events[-1].name == "end"
    assert events[-1].data["status"] == "completed"
    assert events[-1].data["completed_images"] == 20
    assert [event.name for event in events].count("end") == 1


async def test_pictures_carry_addresses_that_show_them(api: ApiStack) -> None:
    job_id = await api.order(2)
    images = [event.data for event in await all_events(api, job_id) if event.name == "image"]
    for image in images:
        for address in (image["url"], image["thumbnail_url"]):
            answer = await api.http.get(address)
            assert (answer.status_code, answer.headers["content-type"]) == (200, "image/webp")
            assert answer.content[8:12] == b"WEBP"


async def test_who_comes_back_is_told_the_next_one_first(api: ApiStack) -> None:
    api.provider.gate.clear()
    job_id = await api.order(30)
    following = asyncio.create_task(_until(api, job_id, 10))
    api.provider.gate.set()
    first = await following
    rest = await all_events(api, job_id, first[-1].id)
    assert numbers(first) + numbers(rest) == list(range(1, 31))


async def _until(api: ApiStack, job_id: UUID, count: int) -> list[Event]:
    """The first events, up to so many pictures; then the connection is cut."""
    found: list[Event] = []
    async for event in api.events(job_id):
        found.append(event)
        if len(numbers(found)) == count:
            break
    return found


async def test_who_comes_back_to_another_process_is_told_the_rest(api: ApiStack) -> None:
    job_id = await api.order(10)
    first = await all_events(api, job_id)
    fourth = next(event for event in first if event.name == "image" and event.data["number"] == 4)
    api.services.feeds._feeds.clear()  # what a new process knows
    rest = await all_events(api, job_id, fourth.id)
    assert numbers(rest) == [5, 6, 7, 8, 9, 10]
    told = {event.data["number"]: event.data["attach_id"] for event in first if event.name == "image"}
    assert all(told[event.data["number"]] == event.data["attach_id"] for event in rest if event.name == "image")


async def test_who_has_much_to_catch_up_on_is_told_it_in_parts(api: ApiStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_route, "AT_ONCE", 3)
    job_id = await api.order(10)
    await api.ended(job_id)
    async with api.services.feeds.following(job_id) as feed:
        watch = Watch(Caller(user_id=uuid4(), by=SignedInBy.LOCAL))
        parts = [part async for part in events_route._event_stream(feed, api.urls, "1", watch, operator=True)]
    assert [part.count(b"event: image") for part in parts] == [3, 3, 3]
    assert parts[-1].count(b"event: end") == 1
    assert numbers(await all_events(api, job_id)) == list(range(1, 11))


async def test_a_client_that_says_what_cannot_be_is_told_everything(api: ApiStack) -> None:
    job_id = await api.order(3)
    await api.ended(job_id)
    for said in ("99", "-1", "x", "1e3", ""):
        assert numbers(await all_events(api, job_id, said)) == [1, 2, 3]


async def test_a_page_that_shows_some_is_told_the_rest_and_its_last_event_goes_first(api: ApiStack) -> None:
    job_id = await api.order(5)
    await api.ended(job_id)
    for headers, expected in (({}, [4, 5]), ({"Last-Event-ID": "4"}, [5])):
        path = f"/api/jobs/{job_id}/events?after=3"
        async with api.http.stream("GET", path, headers=headers) as answer:
            assert numbers([event async for event in parsed(answer.aiter_lines())]) == expected


async def test_who_comes_back_after_the_end_is_told_to_stop(api: ApiStack) -> None:
    job_id = await api.order(3)
    end = (await all_events(api, job_id))[-1]
    assert (end.name, end.id) == ("end", "3.end")
    path = f"/api/jobs/{job_id}/events"
    for address in (path, f"{path}?after=2"):
        answer = await api.http.get(address, headers={"Last-Event-ID": end.id})
        assert (answer.status_code, answer.content) == (204, b"")
    assert [event.name for event in await all_events(api, job_id, "3")][-1] == "end", "it has not been sent that"
    assert numbers(await all_events(api, job_id, "2.end")) == [3], "the job went on after that end"


async def test_fifty_followers_are_told_the_same(api: ApiStack) -> None:
    api.provider.gate.clear()
    job_id = await api.order(25)
    followers = [asyncio.create_task(all_events(api, job_id)) for _ in range(50)]
    await api.provider.until_calls(25)
    api.provider.gate.set()
    for events in await asyncio.gather(*followers):
        assert Counter(numbers(events)) == Counter(range(1, 26))
        assert events[-1].name == "end"
    assert len(api.services.feeds._feeds) == 1


async def test_stages_tell_which_frames_are_being_made_and_which_were_missed(api: ApiStack) -> None:
    api.provider.script = {(0, 1): [Act.MISS]}
    api.provider.gate.clear()
    job_id = await api.order(3)
    seen: list[list[tuple[int, str]]] = []
    async for event in api.events(job_id):
        if event.name == "stage":
            seen.append([(frame["position"], frame["state"]) for frame in event.data["frames"]])
            if seen[-1] == [(0, "making"), (1, "making"), (2, "making")]:
                api.provider.gate.set()
        if event.name == "image" and event.data["ordinal"] == 3:
            assert event.data["position"] == 1
            assert event.data["round"] == 1
    assert [(1, "missed")] in seen
    assert seen[-1] == []


async def test_the_time_left_is_told_by_the_pace_of_now(api: ApiStack, monkeypatch: pytest.MonkeyPatch) -> None:
    api.provider.script = {(0, 1): [Act.FAULT] * 10}
    job_id = await api.order(2)
    async with api.services.feeds.following(job_id) as feed:

        async def one_came() -> bool:
            return feed.known == 1

        await until(one_came, "the first picture")
        assert feed.job(api.urls).eta_seconds is not None
        monkeypatch.setattr(job_feed, "PACE_OVER", timedelta(0))
        assert feed.job(api.urls).eta_seconds is None


async def test_in_silence_a_comment_says_that_the_line_is_open(api: ApiStack, monkeypatch: pytest.MonkeyPatch) -> None:
    assert events_route.SILENCE == 15
    monkeypatch.setattr(events_route, "SILENCE", 0.05)
    api.provider.gate.clear()
    job_id = await api.order(1)
    comments = 0
    async with api.http.stream("GET", f"/api/jobs/{job_id}/events") as answer:
        async for line in answer.aiter_lines():
            comments += line.startswith(":")
            if comments == 3:
                break
    api.provider.gate.set()


async def test_the_feed_goes_when_nobody_follows(api: ApiStack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "LINGER", 0.0)
    job_id = await api.order(1)
    await all_events(api, job_id)

    async def gone() -> bool:
        return not api.services.feeds._feeds and not api.services.feeds._tasks

    await until(gone, "the feed to go")
    assert numbers(await all_events(api, job_id)) == [1]
