"""The path prefix under which the API is reached: mounted in another application, behind a proxy, or both."""

from collections.abc import Iterable
from urllib.parse import quote

from starlette.types import ASGIApp, Receive, Scope, Send

from darkroom.domain.errors import SettingRejected

_PREFIX = "darkroom.root_path"
_PATH = "darkroom.path"
_UNRESERVED = "/!$&'()*+,;=:@"
"""What a path may hold unquoted, beside letters and digits (RFC 3986)."""


def prefix_of(scope: Scope) -> str:
    """The prefix as it stands in URLs, without a slash at its end; empty where there is none."""
    return quote(str(scope.get(_PREFIX, "")), safe=_UNRESERVED)


def path_of(scope: Scope) -> str:
    """The path of a request below the prefix: what a route is declared with."""
    return str(scope.get(_PATH, scope["path"]))


def url_to(scope: Scope, path: str) -> str:
    """The URL of a path of ours, for whoever sent this request. Every URL of an answer is made here.

    Args:
        scope: of the request.
        path: as the route is declared, from its slash on; a query may follow.
    """
    return prefix_of(scope) + path


class RootPath:
    """Lets `path` begin with `root_path` in every request, and keeps both for `prefix_of` and `path_of`.

    Servers, mounts and proxies differ in whether they leave the prefix in the path. Both values are kept under names
    of our own, because the framework's change below: it makes a mounted folder's path a part of `root_path`.

    Args:
        app: what comes next.
        public: the prefix that browsers see (API_ROOT_PATH); empty, the server's own `root_path` is it.
        names: what the paths of our routes begin with.
    """

    def __init__(self, app: ASGIApp, *, public: str = "", names: Iterable[str] = ()) -> None:
        self._app = app
        self._public = public
        self._names = frozenset(names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            prefix, path = self._read(scope)
            scope = {**scope, "root_path": prefix, "path": prefix + path, _PREFIX: prefix, _PATH: path}
        await self._app(scope, receive, send)

    def _read(self, scope: Scope) -> tuple[str, str]:
        prefix = str(scope.get("root_path", "")).rstrip("/")
        # An application behind a proxy that takes its prefix away has that prefix in `root_path` and not in `path`;
        # what is mounted there finds its mount in both.
        mounted_at = prefix.removeprefix(str(scope.get("app_root_path", "")).rstrip("/"))
        full = str(scope["path"])
        path = next((p for p in (_below(prefix, full), _below(mounted_at, full)) if p is not None), full)
        if not self._public:
            return prefix, path
        rest = _below(self._public, path)
        # A proxy that takes the prefix away may leave a path that begins with the same name: /pictures/7.
        left_in = rest is not None and _first_name(rest) in self._names
        return self._public, rest if left_in and rest is not None else path


def check_public(public: str, names: Iterable[str]) -> None:
    """Refuse a prefix behind which one cannot tell whether the proxy took it away.

    Raises:
        SettingRejected: our own paths begin with it.
    """
    # Below /pictures come numbers only, and no path of ours begins with one.
    if public and _first_name(public) in frozenset(names) - {"pictures"}:
        raise SettingRejected(
            f"API_ROOT_PATH={public}: paths of the API itself begin with /{_first_name(public)}; "
            "choose another prefix, such as /darkroom"
        )


def _below(prefix: str, path: str) -> str | None:
    """The rest of a path behind a prefix; None if it does not begin with it."""
    if path == prefix:
        return "/"
    return path[len(prefix) :] if path.startswith(f"{prefix}/") else None


def _first_name(path: str) -> str:
    return path.split("/", 2)[1]
