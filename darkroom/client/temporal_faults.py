"""What goes wrong on the way to Temporal, in our words.

Nothing of what the SDK or a server says is quoted: an error of a failed connection holds the headers, the API key
among them, and one of a configuration file holds the line that it could not read.
"""

import re
from collections.abc import Mapping

from temporalio.service import RPCError, RPCStatusCode

from darkroom.domain.errors import SettingRejected

_HEADER = re.compile(r"[!-~]([ -~]*[!-~])?")

_STATUSES = {
    RPCStatusCode.UNAVAILABLE: "it does not answer; check that it is running",
    RPCStatusCode.DEADLINE_EXCEEDED: "it did not answer in time; try again",
    RPCStatusCode.CANCELLED: "it did not answer in time; try again",
    RPCStatusCode.RESOURCE_EXHAUSTED: "it is busy; try again in a few seconds",
    RPCStatusCode.UNAUTHENTICATED: "it refuses the API key; check TEMPORAL_API_KEY",
    RPCStatusCode.PERMISSION_DENIED: "it does not permit this; check TEMPORAL_API_KEY and TEMPORAL_NAMESPACE",
    RPCStatusCode.NOT_FOUND: "it does not know the workflow, or the namespace; check TEMPORAL_NAMESPACE",
    RPCStatusCode.UNIMPLEMENTED: "it does not know this request; upgrade the server",
}

_CONNECTIONS = (
    (r"ConnectionRefused|connection refused", "the connection was refused"),
    (r"dns error|failed to lookup", "its name cannot be resolved"),
    (r"UnknownIssuer|InvalidCertificate|certificate", "its certificate is not trusted, or not for this name"),
    (r"InvalidContentType|HandshakeFailure|received corrupt message", "it does not speak TLS there"),
    (r"Unauthenticated|PermissionDenied", "it refuses the API key"),
    (r"NetworkUnreachable|HostUnreachable|network is unreachable", "there is no route to it"),
)


def explained(error: RPCError) -> str:
    """What the server's answer means, and what to do."""
    return _STATUSES.get(error.status) or f"status {error.status.name.lower().replace('_', ' ')}; see the server's log"


def why_not_connected(error: Exception) -> str | None:
    """Why a connection failed, in a few words; None when that is not known."""
    said = str(error)
    return next((words for pattern, words in _CONNECTIONS if re.search(pattern, said)), None)


def unreadable(error: Exception) -> SettingRejected:
    """A configuration of Temporal that cannot be read, by the place where the mistake is."""
    where = re.search(r"line \d+, column \d+", str(error))
    if isinstance(error, OSError):
        return SettingRejected(f"Temporal configuration: {error.filename} cannot be read ({error.strerror})")
    place = f" at {where.group()}" if where else ""
    return SettingRejected(f"Temporal configuration: cannot be read{place}; check TEMPORAL_… and temporal.toml")


def check_headers(config: Mapping[str, object]) -> None:
    """Refuse what no header takes, before the SDK quotes it.

    Raises:
        SettingRejected: by name, without the value.
    """
    metadata = config.get("rpc_metadata")
    values = {"TEMPORAL_API_KEY": config.get("api_key"), "TEMPORAL_NAMESPACE": config.get("namespace")}
    if isinstance(metadata, Mapping):
        values |= {f"TEMPORAL_GRPC_META_{str(name).upper().replace('-', '_')}": metadata[name] for name in metadata}
    for name, value in values.items():
        if isinstance(value, str) and not _HEADER.fullmatch(value):
            raise SettingRejected(f"{name}: contains characters that no header takes, such as a line break")
