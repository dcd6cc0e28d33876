"""The proxies that the environment names: those that the HTTP clients cannot use are refused before a traceback."""

from importlib.util import find_spec
from ipaddress import IPv6Address
from urllib.parse import urlsplit
from urllib.request import getproxies_environment

from darkroom.domain.errors import SettingRejected


def check_proxies(*, exclusions: bool) -> None:
    """Refuse proxies that the HTTP clients cannot use. A proxy's address may hold a password, so it is not shown.

    Args:
        exclusions: whether NO_PROXY is read too; not every client minds what it says.

    Raises:
        SettingRejected: by the name of the variable.
    """
    given = getproxies_environment()
    for kind in ("http", "https", "all"):
        address = given.get(kind, "")
        name, scheme = f"{kind.upper()}_PROXY", address.partition("://")[0].lower() if "://" in address else "http"
        if scheme in ("socks5", "socks5h"):
            if find_spec("socksio") is None:
                raise SettingRejected(
                    f"{name}: a SOCKS proxy requires the Python package socksio; install it, or use an HTTP proxy"
                )
        elif scheme not in ("http", "https"):
            raise SettingRejected(f"{name}: must be the URL of an HTTP or SOCKS5 proxy, such as http://proxy:3128")
        if not _is_address(address if "://" in address else f"http://{address}"):
            raise SettingRejected(f"{name}: must be a URL, such as http://proxy:3128")
    for entry in given.get("no", "").split(",") if exclusions else ():
        if not _may_be_excluded(entry.strip()):
            raise SettingRejected(
                f"NO_PROXY: '{entry.strip()}' cannot be read; write IPv6 addresses without brackets or port, such as "
                "::1, and leave out networks of IPv6"
            )


def _is_address(value: str) -> bool:
    try:
        _ = urlsplit(value).port
    except ValueError:
        return False
    return True


def _may_be_excluded(entry: str) -> bool:
    if entry.count(":") > 1 and "://" not in entry:
        try:
            IPv6Address(entry)
        except ValueError:
            return False
    return not entry.endswith(":*") and entry.isascii()
