"""Bodies that are orders: JSON as the command line reads it, so that both refuse the same in the same words."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute

from darkroom.api.problems import BodyRejected, Problem, problem_of
from darkroom.domain.errors import OrderRejected
from darkroom.orders import opened
from darkroom.orders.json_text import NotJson, read_json


class _OrderRequest(Request):
    async def json(self) -> Any:
        """The document, also when it is a JSON text in a JSON string."""
        body = await self.body()
        try:
            return opened(read_json(body.decode("utf-8-sig")))
        except UnicodeDecodeError as error:
            reason = f"document: is not UTF-8 text: invalid byte at position {error.start:,}"
            raise BodyRejected(Problem(400, reason, field="document")) from None
        except NotJson as error:
            raise BodyRejected(Problem(400, str(error), field=error.field)) from None
        except OrderRejected as error:
            raise BodyRejected(problem_of(error)) from None


class OrderRoute(APIRoute):
    """A route whose body is an order."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route's handler, given a request that reads orders."""
        handle = super().get_route_handler()

        async def read_strictly(request: Request) -> Response:
            return await handle(_OrderRequest(request.scope, request.receive))

        return read_strictly
