"""Bodies that are orders: JSON or CSV as the command line reads it, so that both refuse the same in the same words."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.datastructures import Headers, MutableHeaders

from darkroom.api.problems import BodyRejected, Problem, problem_of
from darkroom.domain.errors import OrderRejected
from darkroom.orders import opened
from darkroom.orders.json_text import NotJson, read_json
from darkroom.orders.tables import MEDIA_TYPES, Table, read_table


def is_table(headers: Headers) -> bool:
    """Whether a body is a table."""
    return headers.get("content-type", "").partition(";")[0].strip().lower() in MEDIA_TYPES


def table_bodies() -> dict[str, Any]:
    """The bodies that are tables, for an OpenAPI description."""
    example = "colour,product,quantity\nred,chair,2\ngreen,lamp,4\n"
    return {kind: {"schema": {"type": "string"}, "example": example} for kind in MEDIA_TYPES}


class _OrderRequest(Request):
    table: Table | None = None
    """The body, where it is one."""

    async def json(self) -> Any:
        """The document, also when it is a JSON text in a JSON string, or a table."""
        body = await self.body()
        try:
            if self.scope.get("darkroom.table"):
                self.table = await asyncio.to_thread(read_table, body)
                return self.table.document(self._values())
            return opened(read_json(body.decode("utf-8-sig")))
        except UnicodeDecodeError as error:
            reason = f"document: is not UTF-8 text: invalid byte at position {error.start:,}"
            raise BodyRejected(Problem(400, reason, field="document")) from None
        except NotJson as error:
            raise BodyRejected(Problem(400, str(error), field=error.field)) from None
        except OrderRejected as error:
            raise BodyRejected(problem_of(error)) from None

    def _values(self) -> dict[str, str]:
        """What the query says of all rows."""
        values: dict[str, str] = {}
        for name, value in self.query_params.multi_items():
            if name in values:
                raise OrderRejected(name[:60], "is given twice; keep one of them")
            values[name] = value
        return values


class OrderRoute(APIRoute):
    """A route whose body is an order."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route's handler, given a request that reads orders."""
        handle = super().get_route_handler()

        async def read_strictly(request: Request) -> Response:
            order = _OrderRequest(_as_document(request), request.receive)
            try:
                return await handle(order)
            except OrderRejected as error:
                raise (error if order.table is None else order.table.by_row(error)) from None

        return read_strictly


def _as_document(request: Request) -> Any:
    """The request's scope; a table is announced as the document that it becomes, which is what the framework reads."""
    if not is_table(request.headers):
        return request.scope
    scope = {**request.scope, "darkroom.table": True}
    MutableHeaders(scope=scope)["content-type"] = "application/json"
    return scope
