"""`/v1/views`: questions that are asked again and again, an agent's own or a team's."""

from dataclasses import replace
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import Field, StringConstraints, ValidationError
from starlette.responses import Response
from waybill_chassis.auth import Principal, authorize
from waybill_chassis.database import UnitOfWork
from waybill_chassis.http import (
    Cursor,
    CursorParam,
    DryRun,
    Instant,
    Limit,
    Page,
    RequestModel,
    RequiredVersion,
    ResponseModel,
    RunOnce,
    require,
    respond,
)
from waybill_chassis.ids import new_id
from waybill_chassis.problems import (
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    check_version,
    invalid_field,
)
from waybill_chassis.service import Runtime
from waybill_chassis.validation import problem

from waybill_intake.bodies import Slug
from waybill_intake.http.filters import TicketFilter, can_see, default_order, identity
from waybill_intake.http.listing import CountView, count_view
from waybill_intake.settings import Settings
from waybill_intake.store import saved_views
from waybill_intake.store.finding import reading
from waybill_intake.store.finding.asked import Order, Sort
from waybill_intake.store.saved_views import SavedView

Agent = Annotated[Principal, require("agent")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Products = Annotated[tuple[Slug, ...], Field(min_length=1, max_length=50)]

_VIEWS = Cursor[UUID]("views", UUID)
_MOST = 100
"""So many views somebody may have, or a team."""


class NewView(RequestModel):
    """A filter as `GET /v1/tickets` takes it; with a `team` it is for all agents of `products`."""

    name: Name
    filter: dict[str, Any]
    sort: Sort = Sort.CREATED
    order: Order | None = None
    team: Slug | None = None
    products: Products | None = None


class ViewPatch(RequestModel):
    """What is to be changed of a view."""

    name: Name | None = None
    filter: dict[str, Any] | None = None
    sort: Sort | None = None
    order: Order | None = None
    products: Products | None = None


class ViewView(ResponseModel):
    """A saved view."""

    id: UUID
    name: str
    team: str | None
    products: tuple[str, ...]
    filter: dict[str, Any]
    sort: Sort
    order: Order
    version: int
    created_at: Instant
    updated_at: Instant
    count: CountView | None = None


def router(rt: Runtime[Settings]) -> APIRouter:
    """Saved views."""
    routes = APIRouter(prefix="/v1/views", tags=["views"])

    @routes.get("", response_model=Page[ViewView])
    async def list_views(
        caller: Agent, counts: bool = False, limit: Limit = 50, cursor: CursorParam = None
    ) -> Response:
        """The caller's own views and those of teams; with `counts` how many tickets each has."""
        after = _VIEWS.decode(cursor)
        async with rt.database.reading() as connection:
            found = await saved_views.visible(
                connection,
                identity(caller),
                caller.readable_products,
                after=after,
                limit=limit + 1,
            )
            numbers: dict[UUID, CountView] = {}
            if counts:
                shown = found[:limit]
                wanted = [_filter(view.filter).wanted(caller) for view in shown]
                await reading.prepare(connection)
                counted = await reading.count(connection, wanted)
                numbers = {
                    view.id: count_view(number) for view, number in zip(shown, counted, strict=True)
                }
        return respond(
            _VIEWS.page(
                found,
                limit,
                position=lambda view: view.id,
                item=lambda view: _view(view, numbers.get(view.id)),
            )
        )

    @routes.post("", status_code=201, response_model=ViewView)
    async def save_view(
        body: NewView, caller: Agent, once: RunOnce, dry_run: DryRun = False
    ) -> Response:
        """Save a view for oneself; leads save those of teams."""
        filter = _filter(body.filter)
        filter.wanted(caller)
        if body.team is not None:
            authorize(caller, "lead", "admin")
            if not body.products:
                raise invalid_field("products", "is required for the view of a team")
        elif body.products:
            raise invalid_field("products", "is for the views of teams: use filter.product")
        for product in body.products or ():
            authorize(caller, product=product)

        async def effect(uow: UnitOfWork) -> Response:
            view = SavedView(
                id=new_id(),
                name=body.name,
                owner=None if body.team else identity(caller),
                team=body.team,
                products=body.products or (),
                filter=filter.given(),
                sort=body.sort,
                direction=body.order or default_order(body.sort),
                version=1,
                created_at=uow.now,
                updated_at=uow.now,
            )
            if await saved_views.how_many(uow, view.owner, view.team) >= _MOST:
                raise Conflict(f"There are {_MOST} views already: remove some first.")
            await saved_views.write(uow, view)
            return respond(_view(view), status=201, version=1, location=f"/v1/views/{view.id}")

        return await once(effect, keep=not dry_run)

    @routes.get("/{id}", response_model=ViewView)
    async def read_view(id: UUID, caller: Agent) -> Response:
        """One view."""
        async with rt.database.reading() as connection:
            view = _seen(caller, id, await saved_views.read(connection, id))
        return respond(_view(view), version=view.version)

    _add_changes(routes, rt)
    return routes


def _add_changes(routes: APIRouter, rt: Runtime[Settings]) -> None:
    @routes.patch("/{id}", response_model=ViewView)
    async def change_view(
        id: UUID,
        body: ViewPatch,
        caller: Agent,
        version: RequiredVersion,
        dry_run: DryRun = False,
    ) -> Response:
        """Change one's own view; leads change those of teams."""
        async with rt.database.unit_of_work(keep=not dry_run) as uow:
            view = _seen(caller, id, await saved_views.lock(uow, id))
            _may_change(caller, view)
            check_version(version, view.version)
            after = _changed(caller, view, body)
            if after != view:
                after = replace(after, version=view.version + 1, updated_at=uow.now)
                await saved_views.write(uow, after)
        return respond(_view(after), version=after.version)

    @routes.delete("/{id}", status_code=204)
    async def remove_view(id: UUID, caller: Agent, version: RequiredVersion) -> Response:
        """Remove one's own view; leads remove those of teams."""
        async with rt.database.unit_of_work() as uow:
            view = _seen(caller, id, await saved_views.lock(uow, id))
            _may_change(caller, view)
            check_version(version, view.version)
            await saved_views.delete(uow, id)
        return respond()


def _changed(caller: Principal, view: SavedView, body: ViewPatch) -> SavedView:
    given = body.model_fields_set
    for name in sorted(given):
        if getattr(body, name) is None:
            raise invalid_field(name, "must not be null: leave it out to keep it")
    if body.products is not None:
        if view.team is None:
            raise invalid_field("products", "is for the views of teams: use filter.product")
        for product in body.products:
            authorize(caller, product=product)
    filter = view.filter
    if body.filter is not None:
        asked = _filter(body.filter)
        asked.wanted(caller)
        filter = asked.given()
    sort = body.sort or view.sort
    return replace(
        view,
        name=body.name or view.name,
        filter=filter,
        sort=sort,
        direction=body.order or (view.direction if sort is view.sort else default_order(sort)),
        products=body.products or view.products,
    )


def _filter(found: Any) -> TicketFilter:
    """A filter as it was sent or kept; `Invalid` names its wrong field below `filter`."""
    try:
        return TicketFilter.model_validate(found)
    except ValidationError as error:
        raise _inner(error) from None


def _inner(error: ValidationError) -> Invalid:
    findings = error.errors(include_url=False, include_input=False)
    known = {"filter": TicketFilter.model_fields}
    return problem(({**one, "loc": ("filter", *one["loc"])} for one in findings), known)


def _seen(caller: Principal, id: UUID, view: SavedView | None) -> SavedView:
    if view is None or not can_see(caller, view):
        raise NotFound(f"There is no view {id}.")
    return view


def _may_change(caller: Principal, view: SavedView) -> None:
    if view.owner is not None:
        return
    authorize(caller, "lead", "admin")
    if not all(map(caller.can_see_product, view.products)):
        raise Forbidden("This view is for products too that your token does not cover.")


def _view(view: SavedView, count: CountView | None = None) -> ViewView:
    return ViewView(
        id=view.id,
        name=view.name,
        team=view.team,
        products=view.products,
        filter=dict(view.filter),
        sort=view.sort,
        order=view.direction,
        version=view.version,
        created_at=view.created_at,
        updated_at=view.updated_at,
        count=count,
    )
