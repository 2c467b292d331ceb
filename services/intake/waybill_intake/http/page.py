"""`GET /v1/tickets/{id}`, and with `expand` all that a page shows of a ticket in one answer."""

import asyncio
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response
from waybill_chassis.auth import Principal
from waybill_chassis.http import Caller, Cursor, Page, ResponseModel, respond
from waybill_chassis.problems import Forbidden, invalid_field
from waybill_chassis.service import Runtime

from waybill_intake import access
from waybill_intake.domain.ticket import Ticket
from waybill_intake.domain.words import ActorKind
from waybill_intake.http import conversation, parts
from waybill_intake.http.callers import see
from waybill_intake.http.parts import Part, unavailable
from waybill_intake.http.people import PersonView
from waybill_intake.http.views import (
    HtmlMessageView,
    LogView,
    MessageView,
    TicketView,
    log_view,
    view,
)
from waybill_intake.markdown import to_html
from waybill_intake.settings import Settings
from waybill_intake.store import attachments, log, people, tickets

LOG = Cursor[tuple[datetime, int]]("log", tuple[datetime, int])
"""A place in a ticket's log."""

_MOST_MESSAGES = 100
_MOST_LINES = 100

_HTML = "html"
_EVERYBODY = frozenset(ActorKind)
_AGENTS = frozenset({ActorKind.AGENT})
_STAFF = frozenset({ActorKind.AGENT, ActorKind.PRODUCT})

_PARTS = {
    "assignment": _STAFF,
    "deliveries": _AGENTS,
    "log": _AGENTS,
    "messages": _EVERYBODY,
    "similar": _AGENTS,
    "sla": _EVERYBODY,
    "submitter": _EVERYBODY,
}
"""Who may ask for which part: the same as at its own address."""
_OTHERS = ("assignment", "deliveries", "similar", "sla")
"""The parts that other services keep."""

_KNOWN = ", ".join(sorted([*_PARTS, _HTML]))

ExpandQuery = Annotated[
    list[str] | None,
    Query(
        max_length=50,
        description=f"What to send along, separated by commas or repeated: {_KNOWN}. "
        "`html` sends Markdown also as HTML that is safe to show.",
    ),
]


class SubmitterPart(PersonView):
    """The person, with counts of their tickets that the caller may see."""

    average_rating: float | None
    ratings: int


class Expanded(ResponseModel):
    """The parts that were asked for, and no others."""

    assignment: Part[parts.AssignmentView] | None = None
    deliveries: Part[parts.DeliveriesView] | None = None
    log: Part[Page[LogView]] | None = None
    messages: Part[Page[HtmlMessageView] | Page[MessageView]] | None = None
    similar: Part[parts.SimilarTicketsView] | None = None
    sla: Part[parts.ClockView] | None = None
    submitter: Part[SubmitterPart] | None = None


class TicketPage(TicketView):
    """A ticket, and what else was asked for."""

    description_html: str | None = None
    expanded: Expanded | None = None


def router(rt: Runtime[Settings]) -> APIRouter:
    """One ticket."""
    routes = APIRouter(tags=["tickets"])

    @routes.get("/v1/tickets/{id}", response_model=TicketPage)
    async def read_ticket(id: str, caller: Caller, expand: ExpandQuery = None) -> Response:
        """One ticket, by its id or its number.

        Each part that `expand` asks for is in `expanded`, with its `data` or, where it is not
        available, the `reason`. What intake keeps is of one moment; what other services keep is
        asked of them at once, and what does not come in time is left out.
        """
        wanted = _wanted(expand)
        html = _HTML in wanted
        async with rt.database.snapshot() as connection:
            seen = await see(connection, caller, id)
            by = access.standing(caller)
            _require(wanted, by)
            settings = await rt.database.settings.read(connection)
            found = await _own(connection, seen.ticket, caller, by, wanted)
        answer: dict[str, Any] = dict(view(seen, settings, by))
        if html:
            answer["description_html"] = await asyncio.to_thread(to_html, seen.ticket.description)
        if any(name != _HTML for name in wanted):
            if "messages" in found:
                messages, files = found["messages"]
                page = await conversation.page_of(
                    messages, limit=_MOST_MESSAGES, by=by, files=files, html=html
                )
                found["messages"] = Part(available=True, data=page)
            others = [name for name in wanted if name in _OTHERS]
            answer["expanded"] = found | await parts.gather(rt, caller, seen.ticket, others)
        return respond(answer, version=seen.ticket.version)

    return routes


def _wanted(expand: Sequence[str] | None) -> list[str]:
    """The names asked for, each once; `Invalid` for unknown ones."""
    given = [name.strip() for value in expand or () for name in value.split(",")]
    names = list(dict.fromkeys(name for name in given if name))
    if unknown := [name for name in names if name not in _PARTS and name != _HTML]:
        raise invalid_field("expand", f"has no {unknown[0][:50]!r}; there are {_KNOWN}")
    return names


def _require(names: Sequence[str], by: ActorKind) -> None:
    """Raise `Forbidden` for parts that are not shown to one who acts as this."""
    if foreign := [name for name in names if by not in _PARTS.get(name, _EVERYBODY)]:
        raise Forbidden(
            f"A {by} is not shown {', '.join(foreign)}: leave it out of expand.", parts=foreign
        )


async def _own(
    connection: AsyncConnection,
    ticket: Ticket,
    caller: Principal,
    by: ActorKind,
    wanted: Sequence[str],
) -> dict[str, Any]:
    """What is asked for of what intake keeps; the messages as they are, with their files."""
    found: dict[str, Any] = {}
    if "messages" in wanted:
        messages = await tickets.messages(
            connection,
            ticket,
            notes=by is ActorKind.AGENT,
            after=None,
            limit=_MOST_MESSAGES + 1,
        )
        found["messages"] = messages, await attachments.of_messages(connection, messages)
    if "log" in wanted:
        lines = await log.read(connection, ticket.id, after=None, limit=_MOST_LINES + 1)
        page = LOG.page(
            lines,
            _MOST_LINES,
            position=lambda line: (line.occurred_at, line.position),
            item=log_view,
        )
        found["log"] = Part(available=True, data=page)
    if "submitter" in wanted:
        found["submitter"] = await _submitter(connection, ticket, caller, by)
    return found


async def _submitter(
    connection: AsyncConnection, ticket: Ticket, caller: Principal, by: ActorKind
) -> Part[Any]:
    if ticket.submitter is None:
        return unavailable("This ticket is for nobody in particular.")
    products = None if by is ActorKind.SUBMITTER else caller.readable_products
    portrait = await people.portrait(connection, ticket.submitter.id, products)
    return Part(available=True, data=portrait and SubmitterPart.model_validate(portrait))
