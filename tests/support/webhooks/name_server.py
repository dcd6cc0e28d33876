"""A name server for tests: it knows what it is told, and nothing of this machine."""

from collections.abc import Mapping, Sequence
from ipaddress import ip_address

from darkroom.domain.errors import ReceiverUnavailable
from darkroom.webhooks.networks import IPAddress


class NameServer:
    """Knows some names.

    Args:
        names: by name its addresses, with spaces; after a semicolon, what it says the next time, and so on: the
            last answer stays.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        self._answers = {name: said.split(";") for name, said in names.items()}
        self.asked: list[str] = []

    async def addresses(self, host: str) -> Sequence[IPAddress]:
        self.asked.append(host)
        answers = self._answers.get(host)
        if not answers:
            raise ReceiverUnavailable(f"{host} cannot be resolved (Name or service not known)")
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return tuple(ip_address(address) for address in answer.split())
