"""The gRPC edge: who has a ticket, all assignments, and whether our picture of tickets is right."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import grpc.aio
from waybill.routing.v1.service_pb2 import (
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
from waybill_chassis.problems import invalid_field
from waybill_chassis.rpc import authorize
from waybill_chassis.service import Runtime

from waybill_routing import events, reconciling
from waybill_routing.domain import Case, UnknownTicket
from waybill_routing.settings import Settings
from waybill_routing.store import tickets

_PLACE = Cursor[tuple[datetime, UUID]]("assignments", tuple[datetime, UUID])
_AT_ONCE = 500
_MOST_IDS = 1000


class Assignments(AssignmentServiceServicer):
    """`waybill.routing.v1.AssignmentService`."""

    def __init__(self, rt: Runtime[Settings]) -> None:
        """`rt` holds the adapters."""
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
            raise UnknownTicket(request.ticket_id)
        case, row = held
        if not caller.can_see_product(case.ticket.product):
            raise UnknownTicket(request.ticket_id)
        return GetAssignmentResponse(assignment=_message(case, row), sequence=row.sequence or 0)

    async def StreamAssignments(  # noqa: N802 - the contract names it
        self,
        request: StreamAssignmentsRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",  # noqa: ARG002 - gRPC hands it over
    ) -> AsyncIterator[StreamAssignmentsResponse]:
        """All assignments by their last change, oldest first."""
        authorize("service", "admin")
        if len(request.ticket_ids) > _MOST_IDS:
            raise invalid_field("ticket_ids", f"must be at most {_MOST_IDS}")
        ids = [id for text in request.ticket_ids if (id := parse_id(text)) is not None]
        if request.ticket_ids and not ids:
            return
        since = request.updated_since.ToDatetime(UTC) if request.HasField("updated_since") else None
        after = _PLACE.decode(request.after_cursor or None)
        while True:
            async with self._rt.database.reading() as connection:
                page = await tickets.read_changed(
                    connection, since=since, after=after, ids=ids, limit=_AT_ONCE
                )
            for case, row in page:
                after = (row.since, case.id)
                yield StreamAssignmentsResponse(
                    assignment=_message(case, row),
                    sequence=row.sequence or 0,
                    cursor=_PLACE.encode(after),
                )
            if len(page) < _AT_ONCE:
                return

    async def Reconcile(  # noqa: N802 - the contract names it
        self,
        request: ReconcileRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",  # noqa: ARG002 - gRPC hands it over
    ) -> ReconcileResponse:
        """Compare our picture of the tickets with intake, and our counts with our tickets."""
        authorize("admin", "service")
        report = await reconciling.reconcile(
            self._rt,
            repair=request.repair,
            since=request.updated_since if request.HasField("updated_since") else None,
            cause=request_cause("waybill.routing.v1.AssignmentService/Reconcile"),
        )
        return ReconcileResponse(report=report)


def _message(case: Case, row: Any) -> Any:
    held = case.assignment
    agent = held.agent_id and events.to_agent(held.agent_id, row.agent_name, row.agent_email)
    return events.to_assignment(case.id, held, agent or None)
