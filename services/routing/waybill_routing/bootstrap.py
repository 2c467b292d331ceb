"""The one place where adapters meet use cases."""

from waybill.routing.v1.service_pb2_grpc import add_AssignmentServiceServicer_to_server
from waybill_chassis.events import events_topic
from waybill_chassis.process import Periodic
from waybill_chassis.rpc import Servicer
from waybill_chassis.service import Edges, Runtime

from waybill_routing import consumers, events, usecases
from waybill_routing.http import router
from waybill_routing.rpc import Assignments
from waybill_routing.settings import Settings


def build(rt: Runtime[Settings]) -> Edges:
    """Routing's edges over its adapters."""

    async def sweep() -> None:
        async with rt.database.unit_of_work() as uow:
            await usecases.drain(uow)

    return Edges(
        title="Waybill routing",
        routers=[router(rt)],
        servicers=[
            Servicer(
                add_AssignmentServiceServicer_to_server,
                Assignments(rt),
                "waybill.routing.v1.AssignmentService",
            )
        ],
        consumers=[
            consumers.consumer(rt.database, bootstrap_servers=rt.settings.kafka_bootstrap_servers)
        ],
        timers=[Periodic("sweep", rt.settings.sweep_seconds, sweep)],
        emits={events_topic("routing"): events.TOLD},
    )
