"""The gRPC edge: who has a ticket, all assignments, and whether our picture of tickets is right."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from uuid import UUID

import grpc.aio
from waybill.routing.v1.service_pb2 import (
    DESCRIPTOR,
    GetAssignmentRequest,
    GetAssignmentResponse,
    ReconcileRequest,
    ReconcileResponse,
    StreamAssignmentsRequest,
    StreamAssignmentsResponse,
)
from waybill.routing.v1.service_pb2_grpc import AssignmentServiceServicer
from waybill_chassis.causes import request_cause
from waybill_chassis.http import Cursor
from waybill_chassis.ids import parse_id
from waybill_chassis.lookup import unknown_ticket
from waybill_chassis.reconciling import reconcile
from waybill_chassis.rpc import authorize
from waybill_chassis.rpc.streaming import AT_ONCE, asked_ids, pages
from waybill_chassis.service import Runtime
from waybill_chassis.times import moment

from waybill_routing import events
from waybill_routing.domain import Case
from waybill_routing.reconciling import owners, recount
from waybill_routing.settings import Settings
from waybill_routing.store import tickets

SERVICE = DESCRIPTOR.services_by_name["AssignmentService"].full_name

_PLACE = Cursor[tuple[datetime, UUID]]("assignments", tuple[datetime, UUID])


class Assignments(AssignmentServiceServicer):
    """`waybill.routing.v1.AssignmentService`."""

    def __init__(self, rt: Runtime[Settings]) -> None:
        """Connects when it is asked."""
        self._rt = rt

    async def GetAssignment(  # noqa: N802 - the contract names it
        self,
        request: GetAssignmentRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",  # noqa: ARG002 - gRPC hands it over
    ) -> GetAssignmentResponse:
        """Who has a ticket."""
        caller = authorize("service", "agent")
        id = parse_id(request.ticket_id)
        async with self._rt.database.reading() as connection:
            held = None if id is None else await tickets.read(connection, id)
        if held is None or not held[0].assignment.version:
            raise unknown_ticket(request.ticket_id)
        case, row = held
        if not caller.can_see_product(case.ticket.product):
            raise unknown_ticket(request.ticket_id)
        return GetAssignmentResponse(assignment=_message(case, row), sequence=row.sequence or 0)

    async def StreamAssignments(  # noqa: N802 - the contract names it
        self,
        request: StreamAssignmentsRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",  # noqa: ARG002 - gRPC hands it over
    ) -> AsyncIterator[StreamAssignmentsResponse]:
        """All assignments by their last change, oldest first."""
        authorize("admin", "service")
        ids, since = asked_ids(request.ticket_ids), moment(request, "updated_since")

        async def read(after: tuple[datetime, UUID] | None) -> list[tuple[Case, Any]]:
            async with self._rt.database.reading() as connection:
                return await tickets.read_changed(
                    connection, since=since, after=after, ids=ids, limit=AT_ONCE
                )

        async for (case, row), cursor in pages(
            _PLACE, request.after_cursor, read, lambda found: (found[1].since, found[0].id)
        ):
            yield StreamAssignmentsResponse(
                assignment=_message(case, row), sequence=row.sequence or 0, cursor=cursor
            )

    async def Reconcile(  # noqa: N802 - the contract names it
        self,
        request: ReconcileRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",  # noqa: ARG002 - gRPC hands it over
    ) -> ReconcileResponse:
        """Compare our picture of the tickets with intake, and our counts with our tickets."""
        authorize("admin", "service")
        report = await reconcile(
            owners(self._rt, request_cause(f"{SERVICE}/Reconcile")),
            request,
            pause=self._rt.settings.reconcile_pause_seconds,
        )
        await recount(self._rt, report, repair=request.repair)
        return ReconcileResponse(report=report)


def _message(case: Case, row: Any) -> Any:
    held = case.assignment
    agent = held.agent_id and events.to_agent(held.agent_id, row.agent_name, row.agent_email)
    return events.to_assignment(case.id, held, agent or None)
