"""The one place where adapters meet use cases."""

from waybill.sla.v1.service_pb2 import DESCRIPTOR
from waybill.sla.v1.service_pb2_grpc import add_ClockServiceServicer_to_server
from waybill_chassis.events import events_topic
from waybill_chassis.progress import StreamProgress
from waybill_chassis.rpc import Servicer
from waybill_chassis.service import Edges, Runtime

from waybill_sla import consumers, events, http, rpc
from waybill_sla.settings import Settings
from waybill_sla.timers import Timers


def build(rt: Runtime[Settings]) -> Edges:
    """What sla shows to the outside."""
    settings = rt.settings
    rules = settings.rules()
    servers = settings.kafka_bootstrap_servers
    progress = StreamProgress(servers, events_topic("intake"), consumers.GROUP)
    return Edges(
        title="Waybill sla",
        routers=[http.router(http.Deps(rt.database, rt.peers, rules, rt.clock))],
        servicers=[
            Servicer(
                add_ClockServiceServicer_to_server,
                rpc.Clocks(
                    rt.database,
                    rt.peers,
                    rules,
                    rt.clock,
                    moment_seconds=settings.reconcile_wait_seconds,
                ),
                DESCRIPTOR.services_by_name["ClockService"].full_name,
            )
        ],
        consumers=[consumers.consumer(rt.database, bootstrap_servers=servers, rules=rules)],
        timers=[
            progress,
            Timers(
                rt.database,
                rules,
                progress=progress,
                wait_seconds=settings.stream_wait_seconds,
                poll_seconds=settings.poll_seconds,
                batch=settings.timer_batch,
            ),
        ],
        emits={events_topic("sla"): events.EMITTED},
    )
