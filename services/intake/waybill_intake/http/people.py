"""`/v1/submitters`: who asks for help, and forgetting them."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query, Request
from pydantic import StringConstraints, TypeAdapter, ValidationError
from starlette.responses import Response
from waybill_chassis.auth import Principal
from waybill_chassis.causes import request_cause
from waybill_chassis.http import (
    Caller,
    Cursor,
    CursorParam,
    Instant,
    Limit,
    Page,
    ResponseModel,
    require,
    respond,
)
from waybill_chassis.ids import parse_id
from waybill_chassis.problems import Invalid, invalid_field
from waybill_chassis.service import Runtime
from waybill_chassis.validation import RequestModel

from waybill_intake import erasing
from waybill_intake.bodies import Email
from waybill_intake.docket import Origin
from waybill_intake.domain.ticket import Actor
from waybill_intake.domain.words import ActorKind
from waybill_intake.http.views import TicketView, view
from waybill_intake.settings import Settings
from waybill_intake.store import people, tickets
from waybill_intake.store.finding import reading
from waybill_intake.store.finding.asked import Filter
from waybill_intake.store.finding.reading import Place

_PEOPLE = Cursor[tuple[UUID]]("submitters", tuple[UUID])
_TICKETS = Cursor[Place]("submitter's tickets", Place)
_LAST = 5
_EMAIL: TypeAdapter[str] = TypeAdapter(Email)

Agent = Annotated[Principal, require("agent")]
Admin = Annotated[Principal, require("admin")]


class PersonView(ResponseModel):
    """Somebody whom tickets are for, with counts of those that the caller may see."""

    id: UUID
    email: str
    name: str
    open: int
    total: int
    first_seen: Instant


class PersonPage(PersonView):
    """The same with ratings, tiers and the last tickets; the address is empty after an erasure."""

    tiers: tuple[str, ...]
    average_rating: float | None
    ratings: int
    last_seen: Instant
    erased_at: Instant | None
    last_tickets: tuple[TicketView, ...]


class PersonPatch(RequestModel):
    """The name to show."""

    name: Annotated[str, StringConstraints(max_length=200)]


class MeView(ResponseModel):
    """The caller, as their token tells of them."""

    email: str
    name: str
    roles: tuple[str, ...]
    products: tuple[str, ...]
    submitter: PersonView | None


class ErasureView(ResponseModel):
    """What was erased, and when."""

    submitter_id: UUID
    erased_at: Instant
    tickets: int


def router(rt: Runtime[Settings]) -> APIRouter:
    """People."""
    routes = APIRouter(tags=["submitters"])

    @routes.get("/v1/submitters", response_model=Page[PersonView])
    async def find_people(
        caller: Agent,
        email: Annotated[str | None, Query(description="The whole address.")] = None,
        name: Annotated[str | None, Query(description="Words that the name has.")] = None,
        limit: Limit = 50,
        cursor: CursorParam = None,
    ) -> Response:
        """People with tickets of the caller's products, who came last first."""
        if email is not None and name is not None:
            raise Invalid(
                "Look by the address or by the name.",
                errors=[{"field": "name", "message": "must be left out where email is given"}],
            )
        by, wanted = ("email", email) if email is not None else ("name", name or "")
        after = _PEOPLE.decode(cursor)
        async with rt.database.reading() as connection:
            found = await people.find(
                connection,
                by if wanted else "",
                wanted,
                products=caller.readable_products,
                after=after[0] if after else None,
                limit=limit + 1,
            )
        return respond(_PEOPLE.page(found, limit, position=lambda one: (one.id,), item=_person))

    @routes.get("/v1/submitters/{id}", response_model=PersonPage)
    async def read_person(id: UUID, caller: Agent) -> Response:
        """One person, with what the caller may see of them."""
        return respond(await _page(rt, id, caller))

    @routes.patch("/v1/submitters/{id}", response_model=PersonPage)
    async def rename_person(id: UUID, body: PersonPatch, caller: Agent) -> Response:
        """Correct the name; what was said under another one stays as it was said."""
        async with rt.database.unit_of_work() as uow:
            if await people.portrait(uow.connection, id, caller.readable_products) is None:
                raise erasing.unknown_person()
            if (await people.lock_person(uow, id)).erased_at is not None:
                raise erasing.unknown_person()
            await people.rename(uow, id, body.name)
        return respond(await _page(rt, id, caller))

    @routes.get("/v1/submitters/{id}/tickets", response_model=Page[TicketView])
    async def list_tickets(
        id: UUID, caller: Agent, limit: Limit = 50, cursor: CursorParam = None
    ) -> Response:
        """Their tickets, the newest first."""
        after = _TICKETS.decode(cursor)
        wanted = Filter(products=caller.readable_products, submitters=[id])
        async with rt.database.reading() as connection:
            if await people.portrait(connection, id, caller.readable_products) is None:
                raise erasing.unknown_person()
            await reading.prepare(connection)
            found = await reading.find(connection, wanted, after=after, limit=limit + 1)
            settings = await rt.database.settings.read(connection)
        return respond(
            _TICKETS.page(
                found,
                limit,
                position=lambda one: one.place,
                item=lambda one: view(one.seen, settings, ActorKind.AGENT),
            )
        )

    @routes.post("/v1/submitters/{id}/erasure", response_model=ErasureView)
    async def erase_person(id: str, request: Request, caller: Admin) -> Response:
        """Forget a person, named by id or e-mail address, in every service.

        Done again it changes nothing. Their open tickets are closed; times, statuses and
        statistics stay; what stands on topics is gone within 7 days.
        """
        who = Actor(ActorKind.AGENT, caller.subject, caller.name or "", caller.email or "")
        origin = Origin(who, request_cause(f"{request.method} {request.scope['route'].path}"))
        person = parse_id(id) or await _addressed(rt, id)
        done = await erasing.erase(rt.database, person, origin)
        return respond(ErasureView.model_validate(done))

    @routes.get("/v1/me", response_model=MeView)
    async def read_me(caller: Caller) -> Response:
        """Who the caller is here, and what there is of them as a submitter."""
        address = caller.address or ""
        async with rt.database.reading() as connection:
            id = await people.id_of_email(connection, address)
            known = await people.portrait(connection, id, None) if id else None
        return respond(
            MeView(
                email=address,
                name=caller.name or "",
                roles=tuple(sorted(caller.roles)),
                products=tuple(sorted(caller.products)),
                submitter=_person(known) if known else None,
            )
        )

    return routes


async def _addressed(rt: Runtime[Settings], address: str) -> UUID:
    """Who has this address; also somebody who only wrote in others' tickets."""
    try:
        email = _EMAIL.validate_python(address)
    except ValidationError:
        raise invalid_field("id", "must be an id or an e-mail address") from None
    async with rt.database.unit_of_work() as uow:
        known, _ = await tickets.arrive(uow, {email: ""}, 0)
        return known[email].id


async def _page(rt: Runtime[Settings], id: UUID, caller: Principal) -> PersonPage:
    wanted = Filter(products=caller.readable_products, submitters=[id])
    async with rt.database.reading() as connection:
        found = await people.portrait(connection, id, caller.readable_products)
        if found is None:
            raise erasing.unknown_person()
        await reading.prepare(connection)
        last = await reading.find(connection, wanted, limit=_LAST)
        settings = await rt.database.settings.read(connection)
    return PersonPage(
        **_person(found).model_dump(),
        tiers=found.tiers,
        average_rating=found.average_rating,
        ratings=found.ratings,
        last_seen=found.last_seen,
        erased_at=found.erased_at,
        last_tickets=tuple(view(one.seen, settings, ActorKind.AGENT) for one in last),
    )


def _person(person: people.Sketch) -> PersonView:
    return PersonView(
        id=person.id,
        email=person.email,
        name=person.name,
        open=person.open,
        total=person.total,
        first_seen=person.first_seen,
    )
