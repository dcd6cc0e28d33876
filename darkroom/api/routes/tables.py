"""Tables: CSV as rows of an order document, for who shows an order before it is placed."""

import asyncio

from fastapi import APIRouter, Request

from darkroom.api.order_bodies import is_table, table_bodies
from darkroom.api.problems import Problem, documented
from darkroom.api.services import SignedIn
from darkroom.api.shapes import TableView
from darkroom.orders.tables import MEDIA_TYPES, read_table

router = APIRouter(prefix="/api/tables", tags=["orders"])


@router.post(
    "",
    responses=documented(413, 415, 422),
    openapi_extra={"requestBody": {"required": True, "content": table_bodies()}},
)
async def table(request: Request, _caller: SignedIn) -> TableView:
    """Read a table (CSV). Its rows are given as an order document of type `template` has them; nothing is created."""
    if not is_table(request.headers):
        raise Problem(415, f"send the table as {' or '.join(MEDIA_TYPES)}")
    found = await asyncio.to_thread(read_table, await request.body())
    return TableView(columns=found.columns, names=found.names, rows=found.rows, numbers=found.numbers)
