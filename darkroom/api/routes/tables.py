"""Tables: CSV as rows of an order document, for who shows an order before it is placed."""

from fastapi import APIRouter, Request

from darkroom.api.guarded_routes import LARGEST_DOCUMENT, GuardedRoute, StrictRequest
from darkroom.api.order_bodies import is_table, table_bodies
from darkroom.api.problems import Problem, documented
from darkroom.api.services import Changing
from darkroom.api.shapes import TableView
from darkroom.orders.tables import MEDIA_TYPES, read_table

router = APIRouter(prefix="/api/tables", tags=["orders"], route_class=GuardedRoute)


@router.post(
    "",
    max_body_size=LARGEST_DOCUMENT,
    responses=documented(413, 415, 422, 429),
    openapi_extra={"requestBody": {"required": True, "content": table_bodies()}},
)
async def table(request: Request, _caller: Changing) -> TableView:
    """Read a table (CSV). Its rows are given as an order document of type `template` has them; nothing is created."""
    if not is_table(request.headers):
        raise Problem(415, f"send the table as {' or '.join(MEDIA_TYPES)}")
    assert isinstance(request, StrictRequest), "its route makes one"
    found = await request.reading(read_table)
    return TableView(columns=found.columns, names=found.names, rows=found.rows, numbers=found.numbers)
