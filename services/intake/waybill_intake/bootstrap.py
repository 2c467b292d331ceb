"""Where intake's adapters meet its use cases."""

from waybill.intake.v1 import events_pb2
from waybill.intake.v1.service_pb2_grpc import add_TicketServiceServicer_to_server
from waybill_chassis.events import events_topic
from waybill_chassis.rpc import Servicer
from waybill_chassis.service import Edges, Runtime

from waybill_intake.consumers import consumers
from waybill_intake.http import actions, tickets
from waybill_intake.rpc import Tickets
from waybill_intake.settings import Settings

EMITS = (
    events_pb2.TicketOpened,
    events_pb2.TicketEdited,
    events_pb2.TicketStatusChanged,
    events_pb2.MessagePosted,
    events_pb2.ReminderPosted,
    events_pb2.TicketMerged,
    events_pb2.TicketLinked,
    events_pb2.TicketRated,
    events_pb2.RequestRejected,
)


def build(rt: Runtime[Settings]) -> Edges:
    """What intake shows to the outside."""
    return Edges(
        title="Waybill intake",
        routers=[tickets.router(rt), actions.router(rt)],
        servicers=[
            Servicer(
                add_TicketServiceServicer_to_server, Tickets(rt), "waybill.intake.v1.TicketService"
            )
        ],
        consumers=consumers(rt),
        emits={events_topic("intake"): EMITS},
    )
