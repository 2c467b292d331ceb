"""The ledger and the templates over REST."""

from typing import Annotated
from uuid import UUID

from fastapi import APIRouter
from starlette.responses import Response
from waybill_chassis.auth import Principal
from waybill_chassis.database import UnitOfWork
from waybill_chassis.events import TraceContext
from waybill_chassis.http import (
    Cursor,
    CursorParam,
    Instant,
    Limit,
    Page,
    ResponseModel,
    RunOnce,
    require,
    respond,
)
from waybill_chassis.service import Runtime

from waybill_notify import letters, store, usecases
from waybill_notify.domain import Attempt, Delivery, NoSuchDelivery, State
from waybill_notify.settings import Settings

Worker = Annotated[Principal, require("agent")]
_PLACES: Cursor[tuple[UUID]] = Cursor("deliveries", tuple[UUID])


class DeliveryOut(ResponseModel):
    """A delivery. Its text is never shown: its links let whoever holds them act."""

    id: UUID
    ticket_id: UUID
    product: str
    event_id: str
    template: str
    channel: str
    recipient: str
    state: State
    attempts: int
    message_id: str
    subject: str | None
    created_at: Instant
    next_attempt_at: Instant | None
    delivered_at: Instant | None
    last_error: str
    updated_at: Instant


class AttemptOut(ResponseModel):
    """One try, with what the other side said."""

    number: int
    started_at: Instant
    ended_at: Instant
    outcome: str
    detail: str
    trace_id: str | None


class DeliveryDetail(DeliveryOut):
    """A delivery with its attempts."""

    attempt_log: list[AttemptOut]


class TemplateOut(ResponseModel):
    """A template as it is written, in Jinja2."""

    name: str
    origin: str
    subject: str
    text: str
    html: str


def router(rt: Runtime[Settings]) -> APIRouter:
    """All routes of notify."""
    routes = APIRouter(prefix="/v1", tags=["deliveries"])

    @routes.get("/deliveries")
    async def list_deliveries(
        caller: Worker,
        ticket_id: UUID | None = None,
        state: State | None = None,
        cursor: CursorParam = None,
        limit: Limit = 50,
    ) -> Page[DeliveryOut]:
        """What was sent, the newest first, of the products that the caller may see."""
        after = _PLACES.decode(cursor)
        async with rt.database.reading() as connection:
            found = await store.list_newest(
                connection,
                ticket_id=ticket_id,
                state=state,
                products=caller.readable_products,
                before=after[0] if after else None,
                most=limit + 1,
            )
        return _PLACES.page(found, limit, position=lambda d: (d.id,), item=_out)

    @routes.get("/deliveries/{id}")
    async def get_delivery(id: UUID, caller: Worker) -> DeliveryDetail:
        """One delivery with all its attempts."""
        async with rt.database.reading() as connection:
            found = await store.get(connection, id)
        if found is None or not caller.can_see_product(found[0].product):
            raise NoSuchDelivery
        delivery, attempts = found
        return DeliveryDetail(
            **_out(delivery).model_dump(), attempt_log=[_attempt(each) for each in attempts]
        )

    @routes.post("/deliveries/{id}/retry", response_model=DeliveryOut)
    async def retry(id: UUID, caller: Worker, once: RunOnce) -> Response:
        """Try a dead delivery again, with all its attempts anew; 409 for any other."""

        async def effect(uow: UnitOfWork) -> Response:
            return respond(_out(await usecases.retry(uow, id, caller.can_see_product)))

        return await once(effect)

    @routes.get("/templates", dependencies=[require("agent")])
    async def list_templates() -> Page[TemplateOut]:
        """The templates and where each comes from."""
        return Page(
            items=[
                TemplateOut(
                    name=each.name,
                    origin="built_in",
                    subject=each.subject,
                    text=each.text,
                    html=each.html,
                )
                for each in letters.sources()
            ]
        )

    return routes


def _out(delivery: Delivery) -> DeliveryOut:
    return DeliveryOut.model_validate(delivery)


def _attempt(attempt: Attempt) -> AttemptOut:
    return AttemptOut(
        number=attempt.number,
        started_at=attempt.started_at,
        ended_at=attempt.ended_at,
        outcome=attempt.outcome,
        detail=attempt.detail,
        trace_id=TraceContext(attempt.traceparent).trace_id,
    )
