"""The gRPC edge: tickets for those who ask, and whether our projections are right."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from uuid import UUID

import grpc.aio
from waybill.common.v1.actor_pb2 import Agent
from waybill.common.v1.ticket_enums_pb2 import EscalationLevel
from waybill.intake.v1.service_pb2 import (
    DESCRIPTOR,
    ActionKind,
    GetTicketRequest,
    GetTicketResponse,
    ReconcileRequest,
    ReconcileResponse,
    StreamTicketsRequest,
    StreamTicketsResponse,
)
from waybill.intake.v1.service_pb2 import ActionLink as ActionLinkProto
from waybill.intake.v1.service_pb2_grpc import TicketServiceServicer
from waybill_chassis.causes import request_cause
from waybill_chassis.http import Cursor
from waybill_chassis.lookup import unknown_ticket
from waybill_chassis.problems import invalid_field
from waybill_chassis.reconciling import reconcile
from waybill_chassis.rpc import authorize
from waybill_chassis.rpc.streaming import AT_ONCE, asked_ids, pages
from waybill_chassis.service import Runtime
from waybill_chassis.times import moment, timestamp
from waybill_chassis.words import number

from waybill_intake import access, events
from waybill_intake.domain.rules import actions_of
from waybill_intake.domain.ticket import Ticket
from waybill_intake.kept_settings import IntakeSettings
from waybill_intake.links import ActionLink, Signer
from waybill_intake.reconciling import owners
from waybill_intake.settings import Settings
from waybill_intake.store import lists, tickets
from waybill_intake.usecases import id_of

SERVICE = DESCRIPTOR.services_by_name["TicketService"].full_name

_PLACE = Cursor[tuple[datetime, UUID]]("changed tickets", tuple[datetime, UUID])
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
            # Before the ticket: a number that is too high would make its event look stale.
            sequence = await lists.sequence_of(connection, id)
            seen = await lists.see(connection, id)
            if seen is None or not access.can_see(caller, seen.ticket):
                raise unknown_ticket(request.id_or_number)
            messages = (
                await tickets.last_replies(connection, id, request.message_limit)
                if request.message_limit
                else []
            )
            signer = await Signer.load(connection) if request.include_action_links else None
            settings = await self._rt.database.settings.read(connection)
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
            escalation_level=number(EscalationLevel, sla.escalation_level),
            action_links=(self._links(seen, signer, settings.of(IntakeSettings)) if signer else []),
        )

    def _links(
        self, seen: lists.Seen, signer: Signer, settings: IntakeSettings
    ) -> list[ActionLinkProto]:
        """A link for each act that the ticket's status allows."""
        now = self._rt.clock.now()
        expires_at = (now + settings.action_link_lifetime).replace(microsecond=0)
        return [
            ActionLinkProto(
                kind=number(ActionKind, kind),
                path=f"/r/{signer.sign(ActionLink(kind, seen.ticket.id, expires_at))}",
                expires_at=timestamp(expires_at),
            )
            for kind in actions_of(seen.ticket, now, settings.rating_window)
        ]

    async def StreamTickets(  # noqa: N802 - the contract names it
        self,
        request: StreamTicketsRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",  # noqa: ARG002 - gRPC hands it over
    ) -> AsyncIterator[StreamTicketsResponse]:
        """All tickets by their last change, oldest first."""
        authorize("admin", "service")
        ids, since = asked_ids(request.ticket_ids), moment(request, "updated_since")

        async def read(after: tuple[datetime, UUID] | None) -> list[tuple[Ticket, int]]:
            async with self._rt.database.reading() as connection:
                return await lists.changed(
                    connection, since=since, after=after, ids=ids, limit=AT_ONCE
                )

        async for (ticket, sequence), cursor in pages(
            _PLACE, request.after_cursor, read, lambda row: (row[0].updated_at, row[0].id)
        ):
            yield StreamTicketsResponse(
                ticket=events.to_ticket(ticket), sequence=sequence, cursor=cursor
            )

    async def Reconcile(  # noqa: N802 - the contract names it
        self,
        request: ReconcileRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",  # noqa: ARG002 - gRPC hands it over
    ) -> ReconcileResponse:
        """Compare what intake keeps of routing and sla with them."""
        authorize("admin", "service")
        report = await reconcile(
            owners(self._rt, request_cause(f"{SERVICE}/Reconcile")),
            request,
            pause=self._rt.settings.reconcile_pause_seconds,
        )
        return ReconcileResponse(report=report)
