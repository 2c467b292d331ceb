"""`/v1/playbooks`, and `/v1/tickets/{id}/checklist`."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from pydantic import AfterValidator, Field, StringConstraints
from starlette.responses import Response
from waybill_chassis.auth import Principal
from waybill_chassis.http import (
    Caller,
    Cursor,
    CursorParam,
    DryRun,
    ExpectedVersion,
    Instant,
    Limit,
    Page,
    RequestModel,
    RequiredVersion,
    ResponseModel,
    require,
    respond,
)
from waybill_chassis.problems import NotFound, check_version
from waybill_chassis.service import Runtime

from waybill_intake import checklists
from waybill_intake.docket import Docket
from waybill_intake.domain.playbooks import (
    EVERY_PRODUCT,
    Place,
    Playbook,
    Point,
    PointState,
    check_of,
    state_of,
)
from waybill_intake.domain.ticket import Ticket
from waybill_intake.domain.words import TicketType
from waybill_intake.http.callers import origin, see, take
from waybill_intake.settings import Settings
from waybill_intake.store import playbooks

_PLACES = Cursor[tuple[str, str]]("playbooks", tuple[str, str])
_MOST_POINTS = 30

Agent = Annotated[Principal, require("agent")]
Admin = Annotated[Principal, require("admin")]
Product = Annotated[
    str,
    Path(
        max_length=63,
        pattern=r"^(\*|[a-z0-9][a-z0-9-]*)$",
        description="A product's slug, or `*` for every product without a playbook of its own.",
    ),
]
ProductQuery = Annotated[
    str | None,
    Query(
        max_length=63,
        pattern=r"^(\*|[a-z0-9][a-z0-9-]*)$",
        description="Only what counts for this product.",
    ),
]


class PointBody(RequestModel):
    """One point: `required` ones hold up the resolving, `if_needed` ones are not missed."""

    id: Annotated[str, StringConstraints(max_length=50, pattern=r"^[a-z0-9][a-z0-9-]*$")]
    title: Annotated[str, StringConstraints(min_length=1, max_length=200)]
    hint: Annotated[str, StringConstraints(max_length=1000)] | None = None
    required: bool = False
    if_needed: bool = False


def _different(points: tuple[PointBody, ...]) -> tuple[PointBody, ...]:
    ids = [point.id for point in points]
    if twice := sorted({id for id in ids if ids.count(id) > 1}):
        raise ValueError(f"must each have an id of their own, but {', '.join(twice)} comes twice")
    return points


class PlaybookBody(RequestModel):
    """All points, in their order; none at all for a type without a checklist."""

    points: Annotated[
        tuple[PointBody, ...], Field(max_length=_MOST_POINTS), AfterValidator(_different)
    ]

    def found(self) -> list[Point]:
        """The points as the domain has them."""
        return [
            Point(one.id, one.title, one.hint or "", one.required, one.if_needed)
            for one in self.points
        ]


class CheckBody(RequestModel):
    """What becomes of a point; `reason` is for waiving."""

    state: PointState
    reason: Annotated[str, StringConstraints(max_length=1000)] | None = None


class PointView(ResponseModel):
    """A point of a playbook."""

    id: str
    title: str
    hint: str
    required: bool
    if_needed: bool


class PlaybookView(ResponseModel):
    """What counts for a product and type; `source` is whose it is: its own, `*` or `built_in`."""

    product: str
    type: TicketType
    source: str
    points: tuple[PointView, ...]
    version: int
    updated_at: Instant | None
    updated_by: str | None


class CheckView(PointView):
    """A point of a ticket's checklist."""

    state: PointState
    by: str | None
    at: Instant | None
    reason: str | None


class ChecklistView(ResponseModel):
    """What is to be done with a ticket, and what of it is."""

    ticket_id: UUID
    type: TicketType
    source: str
    points: tuple[CheckView, ...]


def _shown(place: Place) -> PlaybookView:
    playbook = place.playbook
    return PlaybookView(
        product=place.product,
        type=playbook.type,
        source=playbook.product,
        points=tuple(PointView.model_validate(point) for point in playbook.points),
        version=place.version,
        updated_at=playbook.updated_at,
        updated_by=playbook.updated_by or None,
    )


def _checklist(ticket: Ticket, playbook: Playbook) -> Response:
    points = []
    for point in playbook.points:
        check = check_of(ticket, point.id)
        points.append(
            CheckView(
                id=point.id,
                title=point.title,
                hint=point.hint,
                required=point.required,
                if_needed=point.if_needed,
                state=state_of(check),
                by=check.by if check else None,
                at=check.at if check else None,
                reason=check.reason or None if check else None,
            )
        )
    return respond(
        ChecklistView(
            ticket_id=ticket.id, type=ticket.type, source=playbook.product, points=tuple(points)
        ),
        version=ticket.version,
    )


def _require_product(caller: Principal, product: str, *, to_read: bool = False) -> None:
    """Raise `NotFound` for a product that is not the caller's; `*` can be read by everybody."""
    if not caller.can_see_product(product) and not (to_read and product == EVERY_PRODUCT):
        raise NotFound(f"There is no product {product} that your token covers.")


def router(rt: Runtime[Settings]) -> APIRouter:
    """Playbooks and checklists."""
    routes = APIRouter(tags=["playbooks"])
    path = "/v1/playbooks/{product}/{type}"

    @routes.get("/v1/playbooks", response_model=Page[PlaybookView])
    async def list_playbooks(
        agent: Agent, product: ProductQuery = None, limit: Limit = 50, cursor: CursorParam = None
    ) -> Response:
        """What counts for every product and what products have of their own, or one's six."""
        after = _PLACES.decode(cursor)
        async with rt.database.reading() as connection:
            if product is None:
                found = await playbooks.places(
                    connection, products=agent.readable_products, after=after, limit=limit + 1
                )
            else:
                _require_product(agent, product, to_read=True)
                each = await playbooks.places_of(connection, product)
                found = [place for place in each if not after or place.playbook.type > after[1]]
        return respond(
            _PLACES.page(
                found,
                limit,
                position=lambda place: (place.product, place.playbook.type.value),
                item=_shown,
            )
        )

    @routes.get(path, response_model=PlaybookView)
    async def read_playbook(agent: Agent, product: Product, type: TicketType) -> Response:
        """What counts for a product and type, whoever has configured it."""
        _require_product(agent, product, to_read=True)
        async with rt.database.reading() as connection:
            found = await playbooks.place(connection, product, type)
        return respond(_shown(found), version=found.version)

    @routes.put(path, response_model=PlaybookView)
    async def write_playbook(
        admin: Admin,
        product: Product,
        type: TicketType,
        body: PlaybookBody,
        seen: RequiredVersion,
        dry_run: DryRun = False,
    ) -> Response:
        """Give a product, or every one (`*`), its own points for a type."""
        _require_product(admin, product)
        async with rt.database.unit_of_work(keep=not dry_run) as uow:
            found = await checklists.configure(
                uow, product, type, body.found(), by=admin.subject, expected_version=seen
            )
        return respond(_shown(found), version=found.version)

    @routes.delete(path, response_model=PlaybookView)
    async def remove_playbook(
        admin: Admin, product: Product, type: TicketType, seen: RequiredVersion
    ) -> Response:
        """Take a product's own points away; the answer is what counts for it from now on."""
        _require_product(admin, product)
        async with rt.database.unit_of_work() as uow:
            found = await checklists.unconfigure(
                uow, product, type, by=admin.subject, expected_version=seen
            )
        return respond(_shown(found), version=found.version)

    @routes.get(
        "/v1/tickets/{id}/checklist",
        response_model=ChecklistView,
        dependencies=[require("agent")],
    )
    async def read_checklist(id: str, caller: Caller) -> Response:
        """What is to be done with a ticket, and what of it is."""
        async with rt.database.reading() as connection:
            ticket = (await see(connection, caller, id)).ticket
            playbook = await checklists.playbook_of(connection, ticket)
        return _checklist(ticket, playbook)

    @routes.put(
        "/v1/tickets/{id}/checklist/{point}",
        response_model=ChecklistView,
        dependencies=[require("agent")],
    )
    async def settle_point(
        id: str,
        point: str,
        body: CheckBody,
        request: Request,
        caller: Caller,
        version: ExpectedVersion,
    ) -> Response:
        """Tick a point off, waive it for a reason, or open it again."""
        async with rt.database.unit_of_work() as uow:
            docket = Docket(uow)
            (ticket,) = await take(docket, caller, id)
            check_version(version, ticket.version)
            playbook = await checklists.tick(
                docket,
                ticket,
                point,
                body.state,
                body.reason or "",
                origin(request, caller, ticket.product),
            )
            await docket.write()
            return _checklist(docket.get(ticket.id), playbook)

    return routes
