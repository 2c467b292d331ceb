"""What intake hears: products' requests, and the events of the other services."""

from waybill_chassis.consumer import Consumer
from waybill_chassis.events import REQUESTS_PATTERN, events_topic
from waybill_chassis.service import Runtime

from waybill_intake.consumers import facts, requests
from waybill_intake.consumers.decoding import REQUESTS, decode
from waybill_intake.settings import Settings


def consumers(rt: Runtime[Settings]) -> list[Consumer]:
    """Both readers: the door for products, and the one for colleagues."""
    settings = rt.settings
    return [
        Consumer(
            rt.database,
            bootstrap_servers=settings.kafka_bootstrap_servers,
            group="waybill-intake-requests",
            handle=requests.handle,
            types=REQUESTS,
            pattern=REQUESTS_PATTERN,
            decode=decode,
        ),
        Consumer(
            rt.database,
            bootstrap_servers=settings.kafka_bootstrap_servers,
            group="waybill-intake",
            handle=facts.handle,
            types=facts.HEARD,
            topics=[events_topic(owner) for owner in ("routing", "sla", "notify", "kb")],
        ),
    ]
