"""Where an order's webhook may lead: the public internet over https, and what the settings allow."""

from ipaddress import ip_address, ip_network

import pytest

from darkroom.domain.errors import ReceiverUnavailable, WebhookRefused
from darkroom.webhooks.egress_policy import EgressPolicy, SystemResolver
from darkroom.webhooks.target import LONGEST_URL, read_target
from tests.support.webhooks.hostile_addresses import HOSTS, LEADING_THERE
from tests.support.webhooks.name_server import NameServer

PUBLIC = {"shop.example": "93.184.216.34", "six.example": "2606:4700::1111", "translated.example": "64:ff9b::5db8:d822"}


def policy(*allowed: str) -> EgressPolicy:
    return EgressPolicy(NameServer(PUBLIC | LEADING_THERE), [ip_network(network) for network in allowed])


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("scheme", ["https", "http"])
async def test_a_hostile_address_is_refused_when_ordered_and_when_sent(scheme: str, host: str) -> None:
    for url in (f"{scheme}://{host}/hook", f"{scheme}://{host}:8443/hook"):
        with pytest.raises(WebhookRefused):
            await policy().admit(url)
        with pytest.raises(WebhookRefused):
            await policy().destination(url)


@pytest.mark.parametrize("host", LEADING_THERE)
async def test_a_name_that_leads_to_one_is_refused_when_sent_and_answered_as_an_unknown_one(host: str) -> None:
    """Strangers learn nothing of our network."""
    for at in ("https://{}/", "https://{}./", "https://{}:8443/"):
        for name in (host, host.upper(), "unknown.example"):
            await policy().admit(at.format(name))
        with pytest.raises(WebhookRefused):
            await policy().destination(at.format(host))
    said = set()
    for name in (host, "unknown.example"):
        with pytest.raises(WebhookRefused) as refused:
            await policy().admit(f"http://{name}/")
        said.add(str(refused.value))
    assert said == {"must be https; http is only for networks that the operator allows"}


async def test_a_name_that_leads_elsewhere_later_is_refused_when_sent() -> None:
    rebinding = EgressPolicy(NameServer({"shop.example": "93.184.216.34;127.0.0.1"}))
    await rebinding.admit("https://shop.example/hook")
    with pytest.raises(WebhookRefused, match="loopback"):
        await rebinding.destination("https://shop.example/hook")


async def test_sending_goes_to_the_addresses_that_were_checked_after_one_look() -> None:
    names = NameServer({"shop.example": "93.184.216.34 2606:4700::1111;127.0.0.1"})
    found = await EgressPolicy(names).destination("https://shop.example/hook")
    assert found.addresses == (ip_address("93.184.216.34"), ip_address("2606:4700::1111"))
    assert names.asked == ["shop.example"]


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example/hooks?a=1&b=%20",
        "https://SHOP.example.:8443",
        "https://six.example/",
        "https://translated.example/",
        "https://93.184.216.34/",
        "https://[2606:4700::1111]/",
        "https://[::ffff:93.184.216.34]/",
        "HTTPS://shop.example/",
    ],
)
async def test_the_public_internet_is_open_over_https(url: str) -> None:
    await policy().admit(url)
    assert (await policy().destination(url)).addresses


async def test_plain_http_is_for_allowed_networks() -> None:
    for url in ("http://shop.example/", "http://93.184.216.34/", "http://one-of-two.example/"):
        with pytest.raises(WebhookRefused):
            await policy("127.0.0.0/8").admit(url)
        with pytest.raises(WebhookRefused):
            await policy("127.0.0.0/8").destination(url)
    await policy("127.0.0.0/8").admit("http://loopback.example:9000/")
    await policy("10.0.0.0/8").admit("http://private.example/")


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_an_allowed_network_opens_itself_and_nothing_else(scheme: str) -> None:
    loopback = policy("127.0.0.0/8")
    for host in ("127.0.0.1", "localhost", "app.localhost", "[::ffff:127.0.0.1]"):
        [address] = (await loopback.destination(f"{scheme}://{host}:9000/")).addresses
        assert str(address) in ("127.0.0.1", "::ffff:127.0.0.1", "::ffff:7f00:1")
    for host in ("[::1]", "169.254.169.254", "10.0.0.1", "2130706433", "loopback6.example", "metadata.example"):
        with pytest.raises(WebhookRefused):
            await loopback.destination(f"{scheme}://{host}/")


async def test_a_name_that_does_not_resolve_is_admitted_over_https_and_asked_for_again() -> None:
    names = NameServer({})
    await EgressPolicy(names).admit("https://not-yet.example/")
    with pytest.raises(ReceiverUnavailable):
        await EgressPolicy(names).destination("https://not-yet.example/")
    with pytest.raises(WebhookRefused, match="https"):
        await EgressPolicy(names).admit("http://not-yet.example/")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "ASCII"),
        ("shop.example/hooks", "http or https"),
        ("//shop.example/hooks", "http or https"),
        ("ftp://shop.example/", "http or https"),
        ("file:///etc/passwd", "http or https"),
        ("gopher://127.0.0.1:6379/_x", "http or https"),
        ("https:///hooks", "http or https"),
        ("https://user@shop.example/", "a user or password"),
        ("https://user:secret@shop.example/", "a user or password"),
        ("https://shop.example@127.0.0.1/", "a user or password"),
        ("https://@shop.example/", "a user or password"),
        ("https://shop.example:0/", "port"),
        ("https://shop.example:70000/", "not a valid URL"),
        ("https://shop.example:http/", "not a valid URL"),
        (" https://shop.example/", "spaces"),
        ("https://shop.example/a b", "spaces"),
        ("https://shop.example/\r\nX: y", "spaces"),
        ("https://shop.example\\@127.0.0.1/", "backslashes"),
        ("https://shöp.example/", "xn--"),
        ("https://127。0。0。1/", "ASCII"),
        ("https://①②⑦.⓪.⓪.①/", "ASCII"),
        ("https://%31%32%37.0.0.1/", "unusual spelling"),
        ("https://%6cocalhost/", "not a valid host name"),
        ("https://shop..example/", "not a valid host name"),
        ("https://-shop.example/", "not a valid host name"),
        (f"https://{'a' * 64}.example/", "not a valid host name"),
        (f"https://{'a.' * 130}example/", "not a valid host name"),
        ("https://[::1/", "not a valid URL"),
        ("https://[shop.example]/", ""),
        (f"https://shop.example/{'x' * LONGEST_URL}", "2,000"),
    ],
)
async def test_what_is_no_plain_address_is_refused_in_words(url: str, words: str) -> None:
    with pytest.raises(WebhookRefused) as refused:
        await policy("0.0.0.0/0", "::/0").admit(url)
    assert words in str(refused.value)
    assert "xyzzy" not in str(refused.value)


def test_an_address_is_shown_without_what_may_be_secret_in_it() -> None:
    target = read_target("https://Shop.Example:8443/hooks/xyzzy?token=xyzzy#xyzzy")
    assert (target.shown, target.authority) == ("https://shop.example:8443", "shop.example:8443")
    assert target.path == "/hooks/xyzzy?token=xyzzy"
    assert read_target("https://[2606:4700::1111]:443").authority == "[2606:4700::1111]"


async def test_the_system_knows_this_machine_and_not_a_name_that_nobody_has() -> None:
    resolver = SystemResolver()
    found = await resolver.addresses("localhost")
    assert found
    assert all(address.is_loopback for address in found)
    with pytest.raises(ReceiverUnavailable, match=r"nobody\.invalid"):
        await resolver.addresses("nobody.invalid")
    resolver.close()
