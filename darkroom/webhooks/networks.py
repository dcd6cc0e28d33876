"""Which IP addresses a webhook may go to: the public internet, and what the settings allow besides.

The lists are our own: what Python calls global has changed from one patch release to the next, and it counts
addresses in that reach other machines than they seem to.
"""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

IPAddress = IPv4Address | IPv6Address
IPNetwork = IPv4Network | IPv6Network

_NOT_PUBLIC: tuple[tuple[str, str], ...] = (
    ("0.0.0.0/8", "this machine itself"),
    ("127.0.0.0/8", "a loopback address"),
    ("169.254.0.0/16", "a link-local address, where clouds keep their metadata"),
    ("10.0.0.0/8", "a private address"),
    ("172.16.0.0/12", "a private address"),
    ("192.168.0.0/16", "a private address"),
    ("100.64.0.0/10", "an address inside a provider's network"),
    ("168.63.129.16/32", "the host of an Azure machine"),
    ("192.0.0.0/24", "a reserved address"),
    ("192.0.2.0/24", "an address for documentation"),
    ("192.88.99.0/24", "a reserved address"),
    ("198.18.0.0/15", "an address for benchmarks"),
    ("198.51.100.0/24", "an address for documentation"),
    ("203.0.113.0/24", "an address for documentation"),
    ("224.0.0.0/4", "a multicast address"),
    ("240.0.0.0/4", "a reserved address"),
    ("::/128", "this machine itself"),
    ("::1/128", "a loopback address"),
    ("fe80::/10", "a link-local address"),
    ("fec0::/10", "a private address"),
    ("fc00::/7", "a private address"),
    ("ff00::/8", "a multicast address"),
    ("2001::/23", "a reserved address or a tunnel's"),
    ("2001:db8::/32", "an address for documentation"),
    ("2002::/16", "a tunnel's address"),
    ("3fff::/20", "an address for documentation"),
)
_REFUSED = tuple((ip_network(network), words) for network, words in _NOT_PUBLIC)

_PUBLIC_IPV6 = IPv6Network("2000::/3")
"""All of IPv6 that is given out so far; the rest is reserved."""
_TRANSLATED = IPv6Network("64:ff9b::/96")
"""Where a network without IPv4 reaches IPv4 addresses: they are the last 32 bits."""


def is_allowed(address: IPAddress, allowed: Iterable[IPNetwork]) -> bool:
    """Whether the settings let a webhook go there, though it is not the public internet."""
    return any(address in network or _meant(address) in network for network in allowed)


def why_refused(address: IPAddress) -> str | None:
    """What an address is that no webhook may go to; None for one of the public internet."""
    meant = _meant(address)
    for network, words in _REFUSED:
        if meant in network:
            return words
    if isinstance(meant, IPv6Address) and meant not in _PUBLIC_IPV6:
        return "a reserved address"
    return None


def _meant(address: IPAddress) -> IPAddress:
    """The address that is reached: an IPv6 address may only wrap one of IPv4."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in _TRANSLATED:
            return IPv4Address(int(address) & 0xFFFF_FFFF)
    return address
