"""`/r/{token}`: what a submitter does with a link in a message. Only POST acts."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse
from waybill_chassis.causes import request_cause
from waybill_chassis.database import UnitOfWork
from waybill_chassis.service import Runtime

from waybill_intake import usecases
from waybill_intake.docket import Docket, Origin
from waybill_intake.domain import rules
from waybill_intake.domain.ticket import Ticket
from waybill_intake.domain.words import ActionKind, Status
from waybill_intake.http import pages
from waybill_intake.kept_settings import IntakeSettings
from waybill_intake.links import ActionLink, Signer
from waybill_intake.settings import Settings
from waybill_intake.store import tickets

_MOST_COMMENT = 20_000
_PAGES: dict[int | str, dict[str, Any]] = {
    status: {"description": what, "content": {"text/html": {}}}
    for status, what in (
        (404, "No link of ours"),
        (410, "A link that has expired"),
        (422, "A rating without a score"),
    )
}


def router(rt: Runtime[Settings]) -> APIRouter:
    """The page and its button."""
    routes = APIRouter(tags=["links in messages"])

    @routes.get("/r/{token}", response_class=HTMLResponse, responses=_PAGES)
    async def show(token: str) -> HTMLResponse:
        """Ask whether it is meant; nothing is done yet."""
        async with rt.database.reading() as connection:
            link = (await Signer.load(connection)).read(token)
            found = await tickets.read(connection, [link.ticket_id]) if link else []
            settings = (await rt.database.settings.read(connection)).of(IntakeSettings)
        if link is None or not found:
            return pages.unknown()
        now = rt.clock.now()
        if now > link.expires_at:
            return pages.expired()
        if link.kind not in rules.actions_of(found[0], now, settings.rating_window):
            return pages.overtaken(found[0])
        return pages.question(found[0], link.kind)

    @routes.post("/r/{token}", response_class=HTMLResponse, responses=_PAGES)
    async def act(token: str, request: Request) -> HTMLResponse:
        """Do what the link is for."""
        form = dict(parse_qsl((await request.body()).decode(errors="replace")))
        async with rt.database.unit_of_work() as uow:
            link = (await Signer.load(uow.connection)).read(token)
            docket = Docket(uow)
            await docket.take([link.ticket_id] if link else [])
            ticket = docket.find(link.ticket_id) if link else None
            if link is None or ticket is None:
                return pages.unknown()
            if uow.now > link.expires_at:
                return pages.expired()
            settings = (await uow.settings()).of(IntakeSettings)
            if link.kind not in rules.actions_of(ticket, uow.now, settings.rating_window):
                return pages.overtaken(ticket)
            answer = _act(uow, docket, ticket, link, form, settings)
            await docket.write()
            return answer

    return routes


def _act(
    uow: UnitOfWork,
    docket: Docket,
    ticket: Ticket,
    link: ActionLink,
    form: Mapping[str, str],
    settings: IntakeSettings,
) -> HTMLResponse:
    assert ticket.submitter is not None
    origin = Origin(ticket.submitter.actor(), request_cause("POST /r/{token}"))
    # Whoever pressed the button of an older page is shown how things are now: a second click on
    # "that solved it" would else close what the first one resolved.
    stale = form.get("episode", str(ticket.episode)) != str(ticket.episode)
    match link.kind:
        case ActionKind.UNSUBSCRIBE:
            docket.note(rules.unsubscribe(ticket, uow.now), origin)
        case ActionKind.CONFIRM | ActionKind.REOPEN if stale:
            return pages.overtaken(ticket)
        case ActionKind.CONFIRM:
            docket.note([rules.confirm(ticket, uow.now)], origin)
        case ActionKind.REOPEN:
            usecases.change_status(docket, ticket, origin, Status.IN_PROGRESS)
        case ActionKind.RATE:
            score = form.get("score", "")
            if score not in ("1", "2", "3", "4", "5"):
                return pages.question(ticket, link.kind, "Please choose a number from 1 to 5.")
            comment = form.get("comment", "").replace("\0", "").strip()[:_MOST_COMMENT]
            rated = rules.rate(ticket, int(score), comment, uow.now, settings.rating_window)
            docket.note([rated], origin)
    return pages.done(docket.get(ticket.id), link.kind)
