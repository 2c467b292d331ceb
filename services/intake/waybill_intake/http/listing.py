"""`GET /v1/tickets` and how many there are."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query
from starlette.responses import Response
from waybill_chassis.http import Caller, Cursor, CursorParam, Limit, Page, ResponseModel, respond
from waybill_chassis.problems import invalid_field
from waybill_chassis.service import Runtime

from waybill_intake import access
from waybill_intake.http.filters import Sorted, asking
from waybill_intake.http.views import TicketView, view
from waybill_intake.settings import Settings
from waybill_intake.store.finding import reading

_PLACES = Cursor[tuple[str, int, datetime, UUID]]("tickets", tuple[str, int, datetime, UUID])


class ListQuery(Sorted):
    """A page of a list."""

    limit: Limit = 50
    cursor: CursorParam = None


class CountView(ResponseModel):
    """How many there are: exact up to 10,000, `10000+` beyond."""

    count: int
    exact: bool
    text: str


def count_view(found: int) -> CountView:
    """A number as it is counted."""
    most = reading.MOST_COUNTED
    exact = found <= most
    return CountView(count=min(found, most), exact=exact, text=str(found) if exact else f"{most}+")


def router(rt: Runtime[Settings]) -> APIRouter:
    """Lists of tickets."""
    routes = APIRouter(tags=["tickets"])

    @routes.get("/v1/tickets", response_model=Page[TicketView])
    async def list_tickets(caller: Caller, query: Annotated[ListQuery, Query()]) -> Response:
        """The tickets that the caller may see and the filter finds, the newest first."""
        after = _PLACES.decode(query.cursor)
        async with rt.database.reading() as connection:
            asked = await asking(connection, caller, query)
            digest = asked.digest()
            if after is not None and after[0] != digest:
                raise invalid_field(
                    "cursor", "must be the next_cursor of a page of the same filter and sorting"
                )
            wanted = asked.filter.wanted(caller)
            await reading.prepare(connection)
            found = await reading.find(
                connection,
                wanted,
                sort=asked.sort,
                order=asked.order,
                after=after and after[1:],
                limit=query.limit + 1,
            )
            settings = await rt.database.settings.read(connection)
        by = access.standing(caller)
        return respond(
            _PLACES.page(
                found,
                query.limit,
                position=lambda one: (digest, *one.place),
                item=lambda one: view(one.seen, settings, by),
            )
        )

    @routes.get("/v1/tickets/count", response_model=CountView)
    async def count_tickets(caller: Caller, query: Annotated[Sorted, Query()]) -> Response:
        """How many tickets a list has, however it is sorted."""
        async with rt.database.reading() as connection:
            asked = await asking(connection, caller, query)
            wanted = asked.filter.wanted(caller)
            await reading.prepare(connection)
            (found,) = await reading.count(connection, [wanted])
        return respond(count_view(found))

    return routes
