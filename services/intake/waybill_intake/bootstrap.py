"""The one place where adapters meet use cases."""

from waybill.intake.v1.service_pb2_grpc import add_TicketServiceServicer_to_server
from waybill_chassis.events import events_topic
from waybill_chassis.process import Periodic
from waybill_chassis.rpc import Servicer
from waybill_chassis.service import Edges, Runtime

from waybill_intake import erasing
from waybill_intake.attachments.objects import Objects
from waybill_intake.attachments.sweeping import sweeper
from waybill_intake.consumers import consumers
from waybill_intake.counting import FOLD_SECONDS, tend
from waybill_intake.events import TOLD
from waybill_intake.http import attachments, router
from waybill_intake.rpc import SERVICE, Tickets
from waybill_intake.settings import Settings


def build(rt: Runtime[Settings]) -> Edges:
    """What intake shows to the outside."""
    settings = rt.settings
    objects = Objects(settings.attachments_url, settings.data_dir / "attachments")
    return Edges(
        title="Waybill intake",
        routers=[router(rt, objects)],
        timers=[
            sweeper(rt.database, objects),
            Periodic("statistics", FOLD_SECONDS, lambda: tend(rt.database)),
            Periodic("erasures", erasing.FINISH_SECONDS, lambda: erasing.finish(rt.database)),
        ],
        body_limits={attachments.PATH: settings.attachments_max_bytes + attachments.FORM_BYTES},
        servicers=[Servicer(add_TicketServiceServicer_to_server, Tickets(rt), SERVICE)],
        consumers=consumers(rt),
        emits={events_topic("intake"): TOLD},
    )
