"""The gRPC edge: tickets for those who ask, and whether our projections are right."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from uuid import UUID

import grpc.aio
from waybill.common.v1.actor_pb2 import Agent
from waybill.intake.v1.service_pb2 import (
    ActionLink as ActionLinkProto,
)
from waybill.intake.v1.service_pb2 import (
    GetTicketRequest,
    GetTicketResponse,
    ReconcileRequest,
    ReconcileResponse,
    StreamTicketsRequest,
    StreamTicketsResponse,
)
from waybill.intake.v1.service_pb2_grpc import TicketServiceServicer
from waybill_chassis.http import Cursor
from waybill_chassis.ids import parse_id
from waybill_chassis.problems import invalid_field
from waybill_chassis.rpc import authorize
from waybill_chassis.service import Runtime

from waybill_intake import access, events, reconciling
from waybill_intake.docket import unknown
from waybill_intake.domain.rules import actions_of
from waybill_intake.links import ActionLink, Signer
from waybill_intake.settings import Settings
from waybill_intake.store import lists, tickets
from waybill_intake.usecases import id_of

_PLACE = Cursor[tuple[datetime, UUID]]("changed tickets", tuple[datetime, UUID])
_AT_ONCE = 500
_MOST_IDS = 1000
_MOST_MESSAGES = 100


class Tickets(TicketServiceServicer):
    """`waybill.intake.v1.TicketService`."""

    def __init__(self, rt: Runtime[Settings]) -> None:
        self._rt = rt

    async def GetTicket(  # noqa: N802 - the contract names it
        self,
        request: GetTicketRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",  # noqa: ARG002 - gRPC hands it over
    ) -> GetTicketResponse:
        """One ticket with what a template or a page needs of it."""
        caller = authorize("service", "agent")
        if request.include_action_links:
            # They act for the submitter, whoever holds them.
            authorize("service")
        if not 0 <= request.message_limit <= _MOST_MESSAGES:
            raise invalid_field("message_limit", f"must be 0 to {_MOST_MESSAGES}")
        async with self._rt.database.reading() as connection:
            id = await id_of(connection, request.id_or_number)
            seen = await lists.see(connection, id)
            if seen is None or not access.can_see(caller, seen.ticket):
                raise unknown(request.id_or_number)
            sequence = await lists.sequence_of(connection, id)
            messages = (
                await tickets.last_replies(connection, id, request.message_limit)
                if request.message_limit
                else []
            )
            signer = await Signer.load(connection) if request.include_action_links else None
        assignment, sla = seen.facts.assignment, seen.facts.sla
        return GetTicketResponse(
            ticket=events.to_ticket(seen.ticket),
            sequence=sequence,
            messages=map(events.to_message, messages),
            assignee=(
                Agent(
                    id=assignment.agent_id,
                    name=assignment.agent_name or "",
                    email=assignment.agent_email or "",
                )
                if assignment.agent_id
                else None
            ),
            team=assignment.team or "",
            escalation_level=events.LEVELS.get(sla.escalation_level or "", 0),
            action_links=self._links(seen, signer) if signer else [],
        )

    def _links(self, seen: lists.Seen, signer: Signer) -> list[ActionLinkProto]:
        """A link for each act that the ticket's status allows."""
        now, settings = self._rt.clock.now(), self._rt.settings
        expires_at = (now + settings.action_links_for).replace(microsecond=0)
        return [
            ActionLinkProto(
                kind=events.ACTION_KINDS[kind],
                path=f"/r/{signer.sign(ActionLink(kind, seen.ticket.id, expires_at))}",
                expires_at=events.timestamp(expires_at),
            )
            for kind in actions_of(seen.ticket, now, settings.ratings_within)
        ]

    async def StreamTickets(  # noqa: N802 - the contract names it
        self,
        request: StreamTicketsRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",  # noqa: ARG002 - gRPC hands it over
    ) -> AsyncIterator[StreamTicketsResponse]:
        """All tickets by their last change, oldest first."""
        authorize("service", "admin")
        if len(request.ticket_ids) > _MOST_IDS:
            raise invalid_field("ticket_ids", f"must be at most {_MOST_IDS}")
        ids = [id for text in request.ticket_ids if (id := parse_id(text)) is not None]
        after = _PLACE.decode(request.after_cursor or None)
        while True:
            async with self._rt.database.reading() as connection:
                page = await lists.changed(
                    connection,
                    since=events.moment(request, "updated_since"),
                    after=after,
                    ids=ids if request.ticket_ids else None,
                    limit=_AT_ONCE,
                )
            for ticket, sequence in page:
                after = (ticket.updated_at, ticket.id)
                yield StreamTicketsResponse(
                    ticket=events.to_ticket(ticket),
                    sequence=sequence,
                    cursor=_PLACE.encode(after),
                )
            if len(page) < _AT_ONCE:
                return

    async def Reconcile(  # noqa: N802 - the contract names it
        self,
        request: ReconcileRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",  # noqa: ARG002 - gRPC hands it over
    ) -> ReconcileResponse:
        """Compare what we keep of routing and sla with them."""
        authorize("service", "admin")
        report = await reconciling.reconcile(
            self._rt,
            repair=request.repair,
            since=request.updated_since if request.HasField("updated_since") else None,
        )
        return ReconcileResponse(report=report)
