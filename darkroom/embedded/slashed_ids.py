"""Workflows whose ids contain a slash, as those of batches do: the server's HTTP API cannot name them.

It decodes a path before it takes it apart, so `%2F` is a separator to it, and `%252F` three characters. What the pages
of the Web UI ask of such a workflow is asked by gRPC here, and answered in the API's own JSON.
"""

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.json_format import MessageToJson, ParseDict, ParseError
from starlette.responses import JSONResponse, Response
from temporalio.api.workflowservice.v1 import request_response_pb2
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

PATIENCE = timedelta(seconds=90)
"""A request for new events waits for up to 20 seconds."""

_WORKFLOW = re.compile(
    rb"/api/v1/namespaces/(?P<namespace>[^/]+)/workflows/(?P<id>[^/]*%2f[^/]*)(?P<what>/[^/]+)?(?:/(?P<name>[^/]+))?",
    re.IGNORECASE,
)
_STATUS = {
    RPCStatusCode.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    RPCStatusCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    RPCStatusCode.ALREADY_EXISTS: HTTPStatus.CONFLICT,
    RPCStatusCode.FAILED_PRECONDITION: HTTPStatus.BAD_REQUEST,
    RPCStatusCode.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    RPCStatusCode.UNIMPLEMENTED: HTTPStatus.NOT_IMPLEMENTED,
    RPCStatusCode.RESOURCE_EXHAUSTED: HTTPStatus.TOO_MANY_REQUESTS,
    RPCStatusCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    RPCStatusCode.DEADLINE_EXCEEDED: HTTPStatus.GATEWAY_TIMEOUT,
}


@dataclass(frozen=True)
class _Call:
    """How a request is asked by gRPC."""

    method: str
    """Of WorkflowService, in the words of its request message."""
    execution: str = "workflowExecution"
    """The field that names the workflow."""
    name: tuple[str, ...] = ()
    """The field that takes the last part of the path."""


_CALLS = {
    ("GET", ""): _Call("DescribeWorkflowExecution", "execution"),
    ("GET", "/history"): _Call("GetWorkflowExecutionHistory", "execution"),
    ("GET", "/history-reverse"): _Call("GetWorkflowExecutionHistoryReverse", "execution"),
    ("POST", "/query"): _Call("QueryWorkflow", "execution", ("query", "queryType")),
    ("POST", "/signal"): _Call("SignalWorkflowExecution", name=("signalName",)),
    ("POST", "/cancel"): _Call("RequestCancelWorkflowExecution"),
    ("POST", "/terminate"): _Call("TerminateWorkflowExecution"),
    ("POST", "/reset"): _Call("ResetWorkflowExecution"),
}


class SlashedIds:
    """Answers what is asked of workflows whose ids contain a slash.

    Args:
        address: of the server, by gRPC.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._client: Client | None = None

    async def answer(self, method: str, path: bytes, query: bytes, body: bytes) -> Response | None:
        """The answer; None where the request concerns no such workflow.

        Args:
            method: of the request.
            path: as it came, encoded.
            query: as it came.
            body: JSON.
        """
        asked = _WORKFLOW.fullmatch(path)
        if asked is None:
            return None
        call = _CALLS.get((method, (asked["what"] or b"").decode("ascii", "replace")))
        if call is None:
            return _failed(HTTPStatus.NOT_FOUND, "this is not available for a workflow whose id contains a slash")
        request = getattr(request_response_pb2, f"{call.method}Request")()
        try:
            given: dict[str, Any] = json.loads(body) if body.strip() else {}
            for name, value in parse_qsl(query.decode("ascii", "replace")):
                _put(given, name.split("."), _typed(request.DESCRIPTOR, name.split("."), value))
            given["namespace"] = unquote(asked["namespace"].decode())
            _put(given, [call.execution, "workflowId"], unquote(asked["id"].decode()))
            if call.name and asked["name"]:
                _put(given, call.name, unquote(asked["name"].decode()))
            ParseDict(given, request, ignore_unknown_fields=True)
        except (ValueError, TypeError, AttributeError, ParseError) as error:
            return _failed(HTTPStatus.BAD_REQUEST, f"the request cannot be read: {error}")
        try:
            client = await self._connected()
            told = await getattr(client.workflow_service, _snake(call.method))(request, timeout=PATIENCE)
        except RPCError as error:
            return _failed(_STATUS.get(error.status, HTTPStatus.INTERNAL_SERVER_ERROR), error.message)
        return Response(MessageToJson(told, indent=None), media_type="application/json")

    async def _connected(self) -> Client:
        if self._client is None:
            self._client = await Client.connect(self._address, lazy=True)
        return self._client


def _put(given: dict[str, Any], path: Iterable[str], value: object) -> None:
    *parents, last = path
    for name in parents:
        given = given.setdefault(name, {})
    given[last] = value


def _typed(message: Descriptor, path: Iterable[str], value: str) -> object:
    """A value of a query string as JSON has it; all but booleans may be text there."""
    field: FieldDescriptor | None = None
    for name in path:
        within = message if field is None else field.message_type
        field = next((it for it in within.fields if name in (it.json_name, it.name)), None) if within else None
        if field is None:
            return value
    return value == "true" if field is not None and field.type == FieldDescriptor.TYPE_BOOL else value


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


def _failed(status: HTTPStatus, message: str) -> Response:
    return JSONResponse({"message": message}, status)
