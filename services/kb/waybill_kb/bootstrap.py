"""The one place where adapters meet use cases."""

from waybill.kb.v1.service_pb2_grpc import add_KnowledgeServiceServicer_to_server
from waybill_chassis.events import events_topic
from waybill_chassis.rpc import Servicer
from waybill_chassis.service import Edges, Runtime

from waybill_kb.consumers import consumer
from waybill_kb.events import TOLD
from waybill_kb.http import router
from waybill_kb.rpc import SERVICE, Knowledge
from waybill_kb.settings import Settings


def build(rt: Runtime[Settings]) -> Edges:
    """What kb shows to the outside."""
    return Edges(
        title="Waybill kb",
        routers=[router(rt)],
        servicers=[Servicer(add_KnowledgeServiceServicer_to_server, Knowledge(rt), SERVICE)],
        consumers=[consumer(rt)],
        emits={events_topic("kb"): TOLD},
    )
