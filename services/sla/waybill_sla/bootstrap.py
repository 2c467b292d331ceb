"""The one place where adapters meet use cases."""

from functools import partial

from waybill.sla.v1.service_pb2_grpc import add_ClockServiceServicer_to_server
from waybill_chassis.events import events_topic
from waybill_chassis.process import Periodic
from waybill_chassis.progress import StreamProgress, Streams
from waybill_chassis.rpc import Servicer
from waybill_chassis.service import Edges, Runtime

from waybill_sla import judging, simulating
from waybill_sla.agreed import agreement
from waybill_sla.consumers import GROUP, consumer
from waybill_sla.events import TOLD
from waybill_sla.http import router
from waybill_sla.redating import LOOK_SECONDS, work
from waybill_sla.rpc import SERVICE, Clocks
from waybill_sla.settings import Settings
from waybill_sla.timers import Timers


def build(rt: Runtime[Settings]) -> Edges:
    """What sla shows to the outside."""
    settings = rt.settings
    # What tickets are judged by: what was said and done, and since when nobody has them.
    streams = [
        StreamProgress(settings.kafka_bootstrap_servers, events_topic(owner), GROUP)
        for owner in ("intake", "routing")
    ]
    return Edges(
        title="Waybill sla",
        routers=[router(rt)],
        servicers=[Servicer(add_ClockServiceServicer_to_server, Clocks(rt), SERVICE)],
        consumers=[consumer(rt)],
        timers=[
            *streams,
            Timers(
                rt.database,
                progress=Streams(*streams),
                wait_seconds=settings.stream_wait_seconds,
                poll_seconds=settings.poll_seconds,
                batch=settings.timer_batch,
            ),
            Periodic("redating", LOOK_SECONDS, partial(work, rt.database, agreement)),
            Periodic("simulating", simulating.LOOK_SECONDS, partial(simulating.work, rt.database)),
            Periodic("rebuild", judging.LOOK_SECONDS, partial(judging.rebuild, rt.database)),
            Periodic("risk_changes", judging.PRUNE_SECONDS, partial(judging.prune, rt.database)),
        ],
        emits={events_topic("sla"): TOLD},
    )
