"""`GET /v1/tickets/export`: a whole list as CSV or NDJSON, streamed."""

import csv
import io
from collections.abc import AsyncIterator, Callable, Sequence
from enum import StrEnum
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic_core import to_json
from starlette.responses import StreamingResponse
from waybill_chassis.database import Database
from waybill_chassis.http import Caller, render
from waybill_chassis.service import Runtime

from waybill_intake import access
from waybill_intake.domain.words import ActorKind
from waybill_intake.http.filters import Chosen, asking
from waybill_intake.http.views import TicketView, view
from waybill_intake.settings import Settings
from waybill_intake.store.finding import reading
from waybill_intake.store.finding.asked import Filter, Order, Sort
from waybill_intake.store.finding.reading import Place

_AT_ONCE = 200
_RISKY = ("=", "+", "-", "@", "\t", "\r", "\n")
"""A cell that begins so is a formula to a spreadsheet, and would be run."""


class Format(StrEnum):
    """How a list is written."""

    CSV = "csv"
    NDJSON = "ndjson"


class ExportQuery(Chosen):
    """A filter, and how what it finds is written."""

    format: Format = Format.CSV


_COLUMNS: dict[str, Callable[[TicketView], Any]] = {
    "number": lambda one: one.number,
    "id": lambda one: one.id,
    "product": lambda one: one.product,
    "type": lambda one: one.type.value,
    "priority": lambda one: one.priority.value,
    "status": lambda one: one.status.value,
    "title": lambda one: one.title,
    "description": lambda one: one.description,
    "language": lambda one: one.language,
    "tags": lambda one: ", ".join(one.tags),
    "custom_fields": lambda one: to_json(one.custom_fields).decode() if one.custom_fields else "",
    "channel": lambda one: one.channel.value,
    "submitter_email": lambda one: one.submitter and one.submitter.email,
    "submitter_name": lambda one: one.submitter and one.submitter.name,
    "assignee": lambda one: one.assignee and one.assignee.name,
    "team": lambda one: one.team,
    "order_refs": lambda one: ", ".join(one.order_refs),
    "external_ref": lambda one: one.external_ref,
    "occurrences": lambda one: one.occurrences,
    "created_at": lambda one: one.created_at,
    "updated_at": lambda one: one.updated_at,
    "first_response_at": lambda one: one.first_response_at,
    "resolved_at": lambda one: one.resolved_at,
    "closed_at": lambda one: one.closed_at,
    "close_reason": lambda one: one.close_reason and one.close_reason.value,
    "response_seconds": lambda one: one.response_seconds,
    "resolution_seconds": lambda one: one.resolution_seconds,
    "response_state": lambda one: one.sla.response.state,
    "response_due_at": lambda one: one.sla.response.due_at,
    "resolution_state": lambda one: one.sla.resolution.state,
    "resolution_due_at": lambda one: one.sla.resolution.due_at,
    "escalation_level": lambda one: one.escalation_level,
    "rating": lambda one: one.rating and one.rating.score,
    "rating_comment": lambda one: one.rating and one.rating.comment,
    "outcome": lambda one: one.outcome and one.outcome.value,
    "merged_into": lambda one: one.merged_into,
}


def router(rt: Runtime[Settings]) -> APIRouter:
    """Exports."""
    routes = APIRouter(tags=["tickets"])

    @routes.get(
        "/v1/tickets/export",
        response_class=StreamingResponse,
        responses={200: {"content": {"text/csv": {}, "application/x-ndjson": {}}}},
    )
    async def export(caller: Caller, query: Annotated[ExportQuery, Query()]) -> StreamingResponse:
        """All tickets of a list, the oldest first, however many there are.

        Each batch is as it stands when it is read. An answer that breaks off is not complete.
        """
        async with rt.database.reading() as connection:
            wanted = (await asking(connection, caller, query)).filter.wanted(caller)
        write, kind = {
            Format.CSV: (_csv, "text/csv; charset=utf-8"),
            Format.NDJSON: (_ndjson, "application/x-ndjson"),
        }[query.format]
        name = f"tickets.{query.format.value}"
        return StreamingResponse(
            write(_batches(rt.database, wanted, access.standing(caller))),
            media_type=kind,
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    return routes


async def _batches(
    database: Database, wanted: Filter, by: ActorKind
) -> AsyncIterator[list[TicketView]]:
    """The tickets in batches, no connection being held while one is sent."""
    after: Place | None = None
    while True:
        async with database.reading() as connection:
            await reading.prepare(connection)
            found = await reading.find(
                connection, wanted, sort=Sort.CREATED, order=Order.ASC, after=after, limit=_AT_ONCE
            )
            settings = await database.settings.read(connection)
        if found:
            yield [view(one.seen, settings, by) for one in found]
            after = found[-1].place
        if len(found) < _AT_ONCE:
            return


async def _ndjson(batches: AsyncIterator[list[TicketView]]) -> AsyncIterator[bytes]:
    async for batch in batches:
        yield b"".join(render(one) + b"\n" for one in batch)


async def _csv(batches: AsyncIterator[list[TicketView]]) -> AsyncIterator[bytes]:
    yield _lines([list(_COLUMNS)])
    async for batch in batches:
        yield _lines([[_cell(value(one)) for value in _COLUMNS.values()] for one in batch])


def _lines(rows: Sequence[Sequence[Any]]) -> bytes:
    written = io.StringIO()
    csv.writer(written).writerows(rows)
    return written.getvalue().encode()


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_RISKY) else value
    return value if isinstance(value, int | float) else render(value).decode().strip('"')
