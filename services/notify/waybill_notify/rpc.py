"""The delivery ledger over gRPC."""

from typing import Any
from uuid import UUID

import grpc.aio
from waybill.notify.v1.service_pb2 import (
    DESCRIPTOR,
    ListDeliveriesRequest,
    ListDeliveriesResponse,
    ReconcileRequest,
    ReconcileResponse,
)
from waybill.notify.v1.service_pb2_grpc import DeliveryServiceServicer
from waybill_chassis.http import Cursor
from waybill_chassis.ids import parse_id
from waybill_chassis.problems import invalid_field
from waybill_chassis.reconciling import reconcile
from waybill_chassis.rpc import authorize
from waybill_chassis.service import Runtime

from waybill_notify import store
from waybill_notify.events import to_delivery
from waybill_notify.reconciling import owners
from waybill_notify.settings import Settings

SERVICE = DESCRIPTOR.services_by_name["DeliveryService"].full_name

_MOST, _USUAL = 200, 50
_PLACES: Cursor[tuple[UUID]] = Cursor("deliveries of a ticket", tuple[UUID])


class Deliveries(DeliveryServiceServicer):
    """`waybill.notify.v1.DeliveryService`."""

    def __init__(self, rt: Runtime[Settings]) -> None:
        """Connects when it is asked."""
        self._rt = rt

    async def ListDeliveries(  # noqa: N802 - the contract names it
        self,
        request: ListDeliveriesRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",  # noqa: ARG002 - gRPC hands it over
    ) -> ListDeliveriesResponse:
        """What was sent about a ticket, the oldest first."""
        caller = authorize("service", "agent")
        ticket_id = parse_id(request.ticket_id)
        if ticket_id is None:
            raise invalid_field("ticket_id", "must be a UUID")
        if not 0 <= request.limit <= _MOST:
            raise invalid_field("limit", f"must be 1 to {_MOST}, or 0 for {_USUAL}")
        limit = request.limit or _USUAL
        after = _PLACES.decode(request.cursor or None)
        async with self._rt.database.reading() as connection:
            found = await store.list_of_ticket(
                connection, ticket_id, after=after[0] if after else None, most=limit + 1
            )
        page = _PLACES.page(found, limit, position=lambda d: (d.id,), item=lambda d: d)
        return ListDeliveriesResponse(
            deliveries=[to_delivery(d) for d in page.items if caller.can_see_product(d.product)],
            next_cursor=page.next_cursor or "",
        )

    async def Reconcile(  # noqa: N802 - the contract names it
        self,
        request: ReconcileRequest,
        context: "grpc.aio.ServicerContext[Any, Any]",  # noqa: ARG002 - gRPC hands it over
    ) -> ReconcileResponse:
        """Compare notify's pictures of the tickets with intake and routing."""
        authorize("admin", "service")
        report = await reconcile(
            owners(self._rt),
            request,
            pause=self._rt.settings.reconcile_pause_seconds,
        )
        return ReconcileResponse(report=report)
