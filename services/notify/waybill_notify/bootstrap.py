"""The one place where adapters meet use cases."""

from waybill.common.v1.dead_letter_pb2 import DeadLetter
from waybill.notify.v1.feed_pb2 import TicketUpdate
from waybill.notify.v1.service_pb2_grpc import add_DeliveryServiceServicer_to_server
from waybill_chassis.events import dead_letters_topic, events_topic, feed_topic
from waybill_chassis.rpc import Servicer
from waybill_chassis.service import Edges, Runtime

from waybill_notify.consumers import consumer
from waybill_notify.events import TOLD
from waybill_notify.http import router
from waybill_notify.letters import Letters
from waybill_notify.mail import MailServer
from waybill_notify.questions import Questions
from waybill_notify.rpc import SERVICE, Deliveries
from waybill_notify.sender import Sender
from waybill_notify.settings import Settings


def build(rt: Runtime[Settings]) -> Edges:
    """What notify shows to the outside."""
    settings = rt.settings
    mail = MailServer(
        settings.smtp_host,
        settings.smtp_port,
        connections=settings.smtp_connections,
        timeout=settings.smtp_timeout_seconds,
        user=settings.smtp_user,
        password=settings.smtp_password,
        tls=settings.smtp_tls,
        domain=settings.mail_domain,
    )
    questions = Questions(rt.peers, settings)
    return Edges(
        title="Waybill notify",
        routers=[router(rt)],
        servicers=[Servicer(add_DeliveryServiceServicer_to_server, Deliveries(rt), SERVICE)],
        consumers=[consumer(rt)],
        timers=[Sender(rt.database, mail, Letters(), questions.ask, settings)],
        emits={
            events_topic("notify"): TOLD,
            feed_topic("{product}"): [TicketUpdate],
            dead_letters_topic("notify"): [DeadLetter],
        },
    )
