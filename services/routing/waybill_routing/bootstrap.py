"""The one place where adapters meet use cases."""

from waybill.routing.v1.service_pb2_grpc import add_AssignmentServiceServicer_to_server
from waybill_chassis.events import events_topic
from waybill_chassis.process import Periodic
from waybill_chassis.rpc import Servicer
from waybill_chassis.service import Edges, Runtime

from waybill_routing import usecases
from waybill_routing.consumers import consumer
from waybill_routing.events import TOLD
from waybill_routing.http import router
from waybill_routing.lookup import ask_for_dues
from waybill_routing.rpc import SERVICE, Assignments
from waybill_routing.settings import Settings


def build(rt: Runtime[Settings]) -> Edges:
    """What routing shows to the outside."""

    async def sweep() -> None:
        await ask_for_dues(rt)
        for step in (
            usecases.keep_duty,
            usecases.hush,
            usecases.wake,
            usecases.recall,
            usecases.drain,
        ):
            async with rt.database.unit_of_work() as uow:
                await step(uow)

    return Edges(
        title="Waybill routing",
        routers=[router(rt)],
        servicers=[
            Servicer(add_AssignmentServiceServicer_to_server, Assignments(rt), SERVICE),
        ],
        consumers=[consumer(rt)],
        timers=[Periodic("sweep", rt.settings.sweep_seconds, sweep)],
        emits={events_topic("routing"): TOLD},
    )
