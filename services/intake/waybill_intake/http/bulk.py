"""`POST /v1/tickets/bulk`: one change of many tickets, each with a result of its own."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response
from waybill_chassis.auth import Principal
from waybill_chassis.database import UnitOfWork
from waybill_chassis.http import Caller, RequestModel, ResponseModel, RunOnce, respond
from waybill_chassis.ids import parse_id
from waybill_chassis.lookup import parse_number, unknown_ticket
from waybill_chassis.problems import Problem, invalid_field
from waybill_chassis.service import Runtime

from waybill_intake import access, usecases
from waybill_intake.bodies import Language, OrderRefs, Reference, Tags, Transition
from waybill_intake.docket import Docket
from waybill_intake.domain.ticket import Ticket
from waybill_intake.domain.words import Priority, Status, TicketType
from waybill_intake.http.callers import STAFF, origin, require_kind
from waybill_intake.settings import Settings
from waybill_intake.store import tickets

_MOST = 1000


class BulkFields(RequestModel):
    """Fields to set; what is left out stays."""

    type: TicketType | None = None
    priority: Priority | None = None
    language: Language | None = None
    order_refs: OrderRefs | None = None
    add_tags: Tags = ()
    remove_tags: Tags = ()

    def of(self, ticket: Ticket) -> dict[str, Any]:
        """What is to be set of this ticket."""
        given = {
            name: value
            for name in ("type", "priority", "language", "order_refs")
            if (value := getattr(self, name)) is not None
        }
        if self.add_tags or self.remove_tags:
            kept = [tag for tag in ticket.tags if tag not in self.remove_tags]
            given["tags"] = tuple(dict.fromkeys((*kept, *self.add_tags)))
        return given


class BulkChange(RequestModel):
    """Tickets by id or number, and either fields to set or a move to make."""

    tickets: Annotated[tuple[Reference, ...], Field(min_length=1, max_length=_MOST)]
    set: BulkFields | None = None
    transition: Transition | None = None


class BulkResult(ResponseModel):
    """What became of one ticket: its version, or the problem that kept it as it was."""

    ticket: str
    id: UUID | None
    number: str | None
    version: int | None
    problem: dict[str, Any] | None


class BulkResults(ResponseModel):
    """What became of all, in the order they were named."""

    succeeded: int
    failed: int
    items: list[BulkResult]


def router(rt: Runtime[Settings]) -> APIRouter:  # noqa: ARG001 - as all routers are made
    """Bulk changes."""
    routes = APIRouter(tags=["tickets"])

    @routes.post("/v1/tickets/bulk", response_model=BulkResults)
    async def change_many(
        body: BulkChange, request: Request, caller: Caller, once: RunOnce
    ) -> Response:
        """Change up to 1,000 tickets at once. What is refused for one keeps no other back."""
        require_kind(caller, STAFF, "Only agents and the product can change tickets.")
        if (body.set is None) == (body.transition is None):
            raise invalid_field("set", "or transition is required, and not both")
        if body.set is not None and not body.set.model_fields_set:
            raise invalid_field(
                "set", f"needs at least one of {', '.join(BulkFields.model_fields)}"
            )

        async def effect(uow: UnitOfWork) -> Response:
            docket = Docket(uow)
            ids = await _ids(uow, body.tickets)
            await docket.take(ids.values())
            if body.transition is not None and body.transition.to is Status.RESOLVED:
                await docket.know_playbooks()
            problems: dict[UUID, Problem | None] = {}
            for id in dict.fromkeys(ids.values()):
                try:
                    ticket = _ticket(docket, caller, id)
                    await _change(docket, ticket, body, request, caller)
                    problems[id] = None
                except Problem as problem:
                    problems[id] = problem
            await docket.write()
            items = [
                _result(docket, caller, name, ids.get(name), problems) for name in body.tickets
            ]
            failed = sum(item.problem is not None for item in items)
            return respond(BulkResults(succeeded=len(items) - failed, failed=failed, items=items))

        return await once(effect)

    return routes


async def _ids(uow: UnitOfWork, names: Sequence[str]) -> dict[str, UUID]:
    """Which tickets these ids and numbers name; what names none is left out."""
    numbers = {name: number for name in names if (number := parse_number(name))}
    known = await tickets.ids_of_numbers(uow.connection, list(set(numbers.values())))
    found = {name: known[number] for name, number in numbers.items() if number in known}
    return found | {name: id for name in names if (id := parse_id(name))}


def _ticket(docket: Docket, caller: Principal, id: UUID) -> Ticket:
    ticket = docket.find(id)
    if ticket is None or not access.can_see(caller, ticket):
        raise unknown_ticket(id)
    return ticket


async def _change(
    docket: Docket, ticket: Ticket, body: BulkChange, request: Request, caller: Principal
) -> None:
    by = origin(request, caller, ticket.product)
    if body.transition is not None:
        move = body.transition
        usecases.change_status(
            docket, ticket, by, move.to, reason=move.reason, comment=move.comment or ""
        )
    elif body.set is not None:
        await usecases.edit(docket, ticket, by, body.set.of(ticket))


def _result(
    docket: Docket,
    caller: Principal,
    name: str,
    id: UUID | None,
    problems: Mapping[UUID, Problem | None],
) -> BulkResult:
    problem = unknown_ticket(name) if id is None else problems[id]
    ticket = docket.find(id)
    if ticket is None or not access.can_see(caller, ticket):
        return BulkResult(
            ticket=name,
            id=None,
            number=None,
            version=None,
            problem=unknown_ticket(name).document(),
        )
    return BulkResult(
        ticket=name,
        id=ticket.id,
        number=ticket.number,
        version=ticket.version,
        problem=None if problem is None else problem.document(),
    )
