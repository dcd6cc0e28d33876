"""Bodies that are orders: JSON or CSV as the command line reads it, so that both refuse the same in the same words."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from starlette.datastructures import Headers, MutableHeaders

from darkroom.api.guarded_routes import GuardedRoute, StrictRequest, read_document
from darkroom.domain.errors import OrderRejected
from darkroom.orders import opened
from darkroom.orders.tables import MEDIA_TYPES, Table, read_table

_TABLE = "darkroom.table"


def is_table(headers: Headers) -> bool:
    """Whether a body is a table."""
    return headers.get("content-type", "").partition(";")[0].strip().lower() in MEDIA_TYPES


def table_bodies() -> dict[str, Any]:
    """The bodies that are tables, for an OpenAPI description."""
    example = "colour,product,quantity\nred,chair,2\ngreen,lamp,4\n"
    return {kind: {"schema": {"type": "string"}, "example": example} for kind in MEDIA_TYPES}


class _OrderRequest(StrictRequest):
    subject = "document"

    async def json(self) -> Any:
        """The document, also when it is a JSON text in a JSON string, or a table."""
        return await self.reading(self._document)

    def _document(self, body: bytes) -> Any:
        if _TABLE not in self.scope:
            return opened(read_document(body))
        # Kept for the errors of the order, which name row and column.
        table = self.scope[_TABLE]["read"] = read_table(body)
        return table.document(self._values())

    def _values(self) -> dict[str, str]:
        """What the query says of all rows."""
        values: dict[str, str] = {}
        for name, value in self.query_params.multi_items():
            if name in values:
                raise OrderRejected(name[:60], "is given twice; keep one of them")
            values[name] = value
        return values


class OrderRoute(GuardedRoute):
    """A route whose body is an order."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route's handler, given a request that reads orders."""
        handle = super().get_route_handler()

        async def read_strictly(request: Request) -> Response:
            order = Request(_as_document(request), request.receive)
            try:
                return await handle(order)
            except OrderRejected as error:
                table: Table | None = order.scope.get(_TABLE, {}).get("read")
                raise (error if table is None else table.by_row(error)) from None

        return read_strictly

    def request(self, request: Request) -> StrictRequest:
        """The request as orders are read."""
        return _OrderRequest(request.scope, request.receive)


def _as_document(request: Request) -> Any:
    """The request's scope; a table is announced as the document that it becomes, which is what the framework reads."""
    if not is_table(request.headers):
        return request.scope
    scope = {**request.scope, _TABLE: {}}
    MutableHeaders(scope=scope)["content-type"] = "application/json"
    return scope
