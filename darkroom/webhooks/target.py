"""The address of a webhook, taken apart once: what was checked is what is sent to."""

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from urllib.parse import urlsplit

from darkroom.domain.errors import WebhookRefused
from darkroom.domain.model import Value

LONGEST_URL = 2_000
_EXAMPLE = "such as https://shop.example/hooks"

# Two readers of one text may see two hosts in it; of these characters alone they see the same.
_PLAIN = re.compile(r"[\x21-\x5b\x5d-\x7e]+")
_NAME = re.compile(r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")

IPAddress = IPv4Address | IPv6Address


class Target(Value):
    """Scheme, host, port and the rest of a webhook's address."""

    secure: bool
    host: str
    """In lower case and ASCII, without brackets and without a dot at the end."""
    port: int
    path: str
    """With the query. It may hold a secret of the receiver, so it is never shown."""

    @property
    def scheme(self) -> str:
        return "https" if self.secure else "http"

    @property
    def authority(self) -> str:
        """The `Host` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.secure else 80) else f"{host}:{self.port}"

    @property
    def shown(self) -> str:
        """As much of the address as may be logged."""
        return f"{self.scheme}://{self.authority}"

    @property
    def is_local(self) -> bool:
        """Whether it is the name that every machine has for itself."""
        return self.host == "localhost" or self.host.endswith(".localhost")

    @property
    def address(self) -> IPAddress | None:
        """The host, where it is an address and no name."""
        try:
            return IPv6Address(self.host) if ":" in self.host else IPv4Address(self.host)
        except AddressValueError:
            return None


def read_target(url: str) -> Target:
    """Take an address apart.

    Raises:
        WebhookRefused: it is none, or one that another program might read otherwise.
    """
    if len(url) > LONGEST_URL:
        raise WebhookRefused(f"{len(url)} characters exceed the maximum of {LONGEST_URL:,}")
    if not _PLAIN.fullmatch(url):
        raise WebhookRefused(
            f"must be ASCII without spaces or backslashes, {_EXAMPLE} (write international host names as xn--…)"
        )
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise WebhookRefused(f"is not a valid URL, {_EXAMPLE} ({error})") from None
    if parts.scheme not in ("http", "https") or not host:
        raise WebhookRefused(f"must be an http or https URL, {_EXAMPLE}")
    if "@" in parts.netloc:
        raise WebhookRefused("must not contain a user or password; receivers verify the signature instead")
    if port == 0:
        raise WebhookRefused("port 0 is not a valid port")
    secure = parts.scheme == "https"
    return Target(
        secure=secure,
        host=_host(host.removesuffix("."), bracketed="[" in parts.netloc),
        port=port or (443 if secure else 80),
        path=(parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
    )


def _host(host: str, *, bracketed: bool) -> str:
    try:
        if bracketed:
            if "%" in host:
                raise WebhookRefused(f"{host} has a zone id, which is only valid on this machine; remove it")
            return str(IPv6Address(host))
        return str(IPv4Address(host))
    except AddressValueError:
        pass
    # Decimal, octal, hexadecimal and short spellings: the system's resolver takes them for addresses.
    if bracketed or _NUMBER.fullmatch(host.rpartition(".")[2]):
        raise WebhookRefused(f"{host} is an IP address in an unusual spelling; write it as 192.0.2.1 or [2001:db8::1]")
    if not _NAME.fullmatch(host):
        raise WebhookRefused(f"{host} is not a valid host name")
    return host
