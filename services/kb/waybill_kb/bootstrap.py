"""Where kb's adapters meet its use cases."""

from waybill.kb.v1.events_pb2 import (
    ArticleArchived,
    ArticlePublished,
    DuplicateSuspected,
    IssueRepeated,
)
from waybill_chassis.events import events_topic
from waybill_chassis.service import Edges, Runtime

from waybill_kb.consumers import consumer
from waybill_kb.http import routers
from waybill_kb.rpc import servicer
from waybill_kb.settings import Settings


def build(rt: Runtime[Settings]) -> Edges:
    """Everything that kb shows to the outside."""
    return Edges(
        title="Waybill kb",
        routers=routers(rt),
        servicers=[servicer(rt)],
        consumers=[consumer(rt.database, rt.settings)],
        emits={
            events_topic("kb"): (
                ArticlePublished,
                ArticleArchived,
                DuplicateSuspected,
                IssueRepeated,
            )
        },
    )
