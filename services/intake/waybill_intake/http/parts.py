"""The parts of a ticket's page that other services keep: asked for at once, each with an end."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Generic, TypeVar
from uuid import UUID

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from waybill.common.v1 import ticket_enums_pb2 as words
from waybill.kb.v1.service_pb2 import FindSimilarRequest
from waybill.notify.v1 import delivery_pb2
from waybill.notify.v1.service_pb2 import ListDeliveriesRequest
from waybill.routing.v1 import assignment_pb2
from waybill.routing.v1.service_pb2 import GetAssignmentRequest
from waybill.sla.v1 import clock_pb2
from waybill.sla.v1.service_pb2 import GetClockRequest
from waybill_chassis.auth import Principal
from waybill_chassis.http import ResponseModel
from waybill_chassis.ids import parse_id
from waybill_chassis.problems import NotFound, Problem
from waybill_chassis.service import Runtime
from waybill_chassis.times import moment
from waybill_chassis.words import word

from waybill_intake import access
from waybill_intake.domain.ticket import Ticket
from waybill_intake.domain.words import Status
from waybill_intake.settings import Settings
from waybill_intake.store import tickets

T = TypeVar("T")

_MOST_SIMILAR = 10
_MOST_DELIVERIES = 50


class Part(ResponseModel, Generic[T]):
    """A part of the page: its `data`, or the `reason` why there is none."""

    available: bool
    reason: str | None = None
    data: T | None = None


class AgentView(ResponseModel):
    """An agent."""

    id: str
    name: str


class AssignmentView(ResponseModel):
    """Who has the ticket, or where it waits, as routing says."""

    state: str
    agent: AgentView | None
    team: str | None
    queue: str | None
    version: int
    since: datetime | None
    why: str
    method: str | None
    unassigned_since: datetime | None


class ClockTargetView(ResponseModel):
    """A target as of now; `remaining` is negative when it is overdue."""

    state: str
    due_at: datetime | None
    allowed: timedelta
    elapsed: timedelta
    remaining: timedelta | None
    stopped_at: datetime | None
    breached_at: datetime | None
    warned_share: float


class SegmentView(ResponseModel):
    """A line of the clock's ledger."""

    kind: str
    status: str
    started_at: datetime | None
    ended_at: datetime | None
    working_time: timedelta


class ClockView(ResponseModel):
    """The ticket's clock, as sla says."""

    state: str
    priority: str
    started_at: datetime | None
    paused_since: datetime | None
    response: ClockTargetView | None
    resolution: ClockTargetView | None
    escalation_level: str | None
    ledger: tuple[SegmentView, ...]
    version: int


class DeliveryView(ResponseModel):
    """A notification about the ticket, as notify says."""

    id: str
    template: str
    channel: str
    recipient: str
    state: str
    attempts: int
    created_at: datetime | None
    next_attempt_at: datetime | None
    delivered_at: datetime | None
    last_error: str


class DeliveriesView(ResponseModel):
    """The first of them; whether there are `more` at `/v1/deliveries?ticket_id=`."""

    items: tuple[DeliveryView, ...]
    more: bool


class SimilarView(ResponseModel):
    """A ticket that resembles this one, as kb says."""

    ticket_id: UUID
    number: str
    title: str
    status: Status
    similarity: float
    same_text: bool
    same_submitter: bool
    created_at: datetime


class SimilarTicketsView(ResponseModel):
    """The most similar first."""

    items: tuple[SimilarView, ...]


@dataclass(frozen=True, slots=True)
class _Page:
    """Whose page of which ticket."""

    rt: Runtime[Settings]
    caller: Principal
    ticket: Ticket

    @property
    def timeout(self) -> float:
        """For all that is asked, since all of it is asked at once."""
        return self.rt.settings.page_timeout_seconds


async def gather(
    rt: Runtime[Settings], caller: Principal, ticket: Ticket, names: Iterable[str]
) -> dict[str, Part[Any]]:
    """These parts, by name, after `page_timeout_seconds` at most. Nothing is held meanwhile."""
    names, page = list(names), _Page(rt, caller, ticket)
    found = await asyncio.gather(*(_part(_ASKED[name](page)) for name in names))
    return dict(zip(names, found, strict=True))


def unavailable(reason: str) -> Part[Any]:
    """A part that there is not, or not now."""
    return Part(available=False, reason=reason)


async def _part(answer: Awaitable[Any]) -> Part[Any]:
    try:
        return Part(available=True, data=await answer)
    except NotFound:
        return unavailable("Nothing is known of this ticket there yet.")
    except Problem as problem:
        return unavailable(problem.detail)


async def _assignment(page: _Page) -> AssignmentView:
    routing = page.rt.peers.routing
    answer = await routing.ask(
        routing.stub.GetAssignment,
        GetAssignmentRequest(ticket_id=str(page.ticket.id)),
        timeout=page.timeout,
    )
    found = answer.assignment
    agent = found.agent
    return AssignmentView(
        state=word(assignment_pb2.AssignmentState, found.state),
        agent=AgentView(id=agent.id, name=agent.name) if found.HasField("agent") else None,
        team=found.team or None,
        queue=found.queue or None,
        version=found.version,
        since=moment(found, "since"),
        why=found.why,
        method=word(assignment_pb2.AssignmentMethod, found.method) or None,
        unassigned_since=moment(found, "unassigned_since"),
    )


async def _sla(page: _Page) -> ClockView:
    sla = page.rt.peers.sla
    answer = await sla.ask(
        sla.stub.GetClock,
        GetClockRequest(ticket_id=str(page.ticket.id)),
        timeout=page.timeout,
    )
    clock = answer.clock
    left = {one.kind: _span(one, "remaining") for one in answer.remaining}
    targets = {
        word(words.TargetKind, target.kind): ClockTargetView(
            state=word(words.TargetState, target.state),
            due_at=moment(target, "due_at"),
            allowed=_span(target, "allowed") or timedelta(),
            elapsed=_span(target, "elapsed") or timedelta(),
            remaining=left.get(target.kind),
            stopped_at=moment(target, "stopped_at"),
            breached_at=moment(target, "breached_at"),
            warned_share=target.warned_share,
        )
        for target in clock.targets
    }
    return ClockView(
        state=word(clock_pb2.ClockState, clock.state),
        priority=word(words.Priority, clock.priority),
        started_at=moment(clock, "started_at"),
        paused_since=moment(clock, "paused_since"),
        response=targets.get("response"),
        resolution=targets.get("resolution"),
        escalation_level=word(words.EscalationLevel, clock.escalation_level) or None,
        ledger=tuple(
            SegmentView(
                kind=word(clock_pb2.SegmentKind, part.kind),
                status=word(words.Status, part.status),
                started_at=moment(part, "started_at"),
                ended_at=moment(part, "ended_at"),
                working_time=_span(part, "working_time") or timedelta(),
            )
            for part in answer.segments
        ),
        version=clock.version,
    )


async def _deliveries(page: _Page) -> DeliveriesView:
    notify = page.rt.peers.notify
    answer = await notify.ask(
        notify.stub.ListDeliveries,
        ListDeliveriesRequest(ticket_id=str(page.ticket.id), limit=_MOST_DELIVERIES),
        timeout=page.timeout,
    )
    return DeliveriesView(
        items=tuple(
            DeliveryView(
                id=one.id,
                template=one.template,
                channel=word(delivery_pb2.DeliveryChannel, one.channel),
                recipient=one.recipient,
                state=word(delivery_pb2.DeliveryState, one.state),
                attempts=one.attempts,
                created_at=moment(one, "created_at"),
                next_attempt_at=moment(one, "next_attempt_at"),
                delivered_at=moment(one, "delivered_at"),
                last_error=one.last_error,
            )
            for one in answer.deliveries
        ),
        more=bool(answer.next_cursor),
    )


async def _similar(page: _Page) -> SimilarTicketsView:
    kb, ticket = page.rt.peers.kb, page.ticket
    answer = await kb.ask(
        kb.stub.FindSimilar,
        # Our own token sees every product, so the one to look in is named.
        FindSimilarRequest(ticket_id=str(ticket.id), product=ticket.product, limit=_MOST_SIMILAR),
        timeout=page.timeout,
    )
    ids = [id for one in answer.tickets if (id := parse_id(one.ticket_id))]
    if not ids:
        return SimilarTicketsView(items=())
    async with page.rt.database.reading() as connection:
        # kb may not have heard yet that a ticket went to another product.
        known = {
            found.id: found
            for found in await tickets.read(connection, ids)
            if access.can_see(page.caller, found)
        }
    return SimilarTicketsView(
        items=tuple(
            SimilarView(
                ticket_id=found.id,
                number=found.number,
                title=found.title,
                status=found.status,
                similarity=round(one.similarity, 4),
                same_text=one.same_text,
                same_submitter=one.same_submitter,
                created_at=found.created_at,
            )
            for one in answer.tickets
            if (id := parse_id(one.ticket_id)) and (found := known.get(id))
        )
    )


_ASKED: dict[str, Callable[[_Page], Awaitable[Any]]] = {
    "assignment": _assignment,
    "deliveries": _deliveries,
    "similar": _similar,
    "sla": _sla,
}


def _span(message: Message, field: str) -> timedelta | None:
    if not message.HasField(field):
        return None
    found: Duration = getattr(message, field)
    return found.ToTimedelta()
