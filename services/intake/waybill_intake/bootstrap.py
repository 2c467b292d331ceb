"""The one place where adapters meet use cases."""

from waybill.intake.v1.service_pb2_grpc import add_TicketServiceServicer_to_server
from waybill_chassis.events import events_topic
from waybill_chassis.rpc import Servicer
from waybill_chassis.service import Edges, Runtime

from waybill_intake.consumers import consumers
from waybill_intake.events import TOLD
from waybill_intake.http import router
from waybill_intake.rpc import SERVICE, Tickets
from waybill_intake.settings import Settings


def build(rt: Runtime[Settings]) -> Edges:
    """What intake shows to the outside."""
    return Edges(
        title="Waybill intake",
        routers=[router(rt)],
        servicers=[Servicer(add_TicketServiceServicer_to_server, Tickets(rt), SERVICE)],
        consumers=consumers(rt),
        emits={events_topic("intake"): TOLD},
    )
