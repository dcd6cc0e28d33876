"""The path prefix: what is accepted as one, how it is told from the path, and that nobody writes an address past it."""

import re
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Receive, Scope, Send

import darkroom.api
from darkroom.api import create_app
from darkroom.api.root_path import RootPath, path_of, prefix_of
from darkroom.domain.errors import SettingRejected
from darkroom.settings import Settings

API = Path(darkroom.api.__file__).parent


@pytest.mark.parametrize("prefix", ["/api", "/jobs", "/static/darkroom", "/docs", "/sign-in"])
def test_a_prefix_that_cannot_be_told_from_our_own_paths_is_refused(prefix: str) -> None:
    with pytest.raises(SettingRejected, match=f"API_ROOT_PATH={prefix}: .*choose another prefix"):
        create_app(Settings(_env_file=None, api_root_path=prefix))


@pytest.mark.parametrize(
    "value", ["darkroom", "//darkroom", "/dark room", "/a/../b", "/a?b", "https://a.example/b", "/ä"]
)
def test_a_prefix_is_a_path(value: str) -> None:
    with pytest.raises(ValueError, match="must be a path of letters"):
        Settings(_env_file=None, api_root_path=value)


def test_the_address_that_commands_show_has_the_prefix() -> None:
    assert Settings(_env_file=None, api_root_path="/a/b/").api_address() == "http://127.0.0.1:8400/a/b"
    assert Settings(_env_file=None, api_root_path="/").api_address() == "http://127.0.0.1:8400"


NAMES = {"", "api", "jobs", "pictures", "static", "healthz"}


@pytest.mark.parametrize(
    ("public", "scope", "prefix", "path"),
    [
        ("", {"path": "/jobs"}, "", "/jobs"),
        ("", {"path": "/p/jobs", "root_path": "/p"}, "/p", "/jobs"),
        ("", {"path": "/p", "root_path": "/p"}, "/p", "/"),
        ("", {"path": "/pictures/7", "root_path": "/p"}, "/p", "/pictures/7"),
        ("", {"path": "/p/jobs", "root_path": "/site/p", "app_root_path": "/site"}, "/site/p", "/jobs"),
        ("", {"path": "/site/p/jobs", "root_path": "/site/p", "app_root_path": "/site"}, "/site/p", "/jobs"),
        ("/pictures", {"path": "/jobs"}, "/pictures", "/jobs"),
        ("/pictures", {"path": "/pictures/jobs"}, "/pictures", "/jobs"),
        ("/pictures", {"path": "/pictures"}, "/pictures", "/"),
        ("/pictures", {"path": "/pictures/"}, "/pictures", "/"),
        ("/pictures", {"path": "/pictures/7"}, "/pictures", "/pictures/7"),
        ("/pictures", {"path": "/pictures/7/thumbnail"}, "/pictures", "/pictures/7/thumbnail"),
        ("/pictures", {"path": "/pictures/pictures/7"}, "/pictures", "/pictures/7"),
        ("/site/p", {"path": "/p/jobs", "root_path": "/p"}, "/site/p", "/jobs"),
        ("/a/b", {"path": "/a/b/api/jobs"}, "/a/b", "/api/jobs"),
        ("/a/b", {"path": "/a/bc"}, "/a/b", "/a/bc"),
        ("", {"path": "/ä b/jobs", "root_path": "/ä b"}, "/%C3%A4%20b", "/jobs"),
    ],
)
async def test_prefix_and_path_are_told_apart(public: str, scope: dict[str, str], prefix: str, path: str) -> None:
    found: list[Scope] = []

    async def app(inner: Scope, receive: Receive, send: Send) -> None:
        found.append(inner)

    async def nothing(*_: object) -> Any:
        raise AssertionError

    await RootPath(app, public=public, names=NAMES)({"type": "http", **scope}, nothing, nothing)
    [inner] = found
    assert (prefix_of(inner), path_of(inner)) == (prefix, path)
    assert inner["path"] == inner["root_path"] + path


def test_no_template_writes_an_address_by_hand() -> None:
    wrong = {
        template.name: found
        for template in (API / "templates").glob("*.html")
        if (found := re.findall(r"""(?:href|src|action)=["']/[^"']*""", template.read_text("utf-8")))
    }
    assert wrong == {}


def test_no_script_or_style_writes_an_address_by_hand() -> None:
    wrong = {}
    for script in (API / "static").glob("*.js"):
        text = re.sub(r"/\*.*?\*/|//.*", "", script.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
        found = [match for match in re.findall(r"""(.{0,3})["'`]/[a-z"'`]""", text) if not match.endswith("at(")]
        if found:
            wrong[script.name] = found
    assert wrong == {}
    for style in (API / "static").glob("*.css"):
        assert "url(/" not in style.read_text("utf-8").replace('"', "").replace("'", "")
