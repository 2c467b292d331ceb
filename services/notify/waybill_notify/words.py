"""The REST words of the contracts' enums: `STATUS_IN_PROGRESS` is `in_progress`."""

from collections.abc import Mapping
from typing import Any

from waybill.common.v1 import actor_pb2, ticket_enums_pb2
from waybill.notify.v1 import delivery_pb2
from waybill.routing.v1 import assignment_pb2


def _words(enum: Any, prefix: str) -> Mapping[int, str]:
    return {
        number: name.removeprefix(prefix).lower() for name, number in enum.items() if number != 0
    }


# Looked up with `.get(value, "")`: absent and not yet known values are alike.
ACTOR = _words(actor_pb2.ActorKind, "ACTOR_KIND_")
TYPE = _words(ticket_enums_pb2.TicketType, "TICKET_TYPE_")
PRIORITY = _words(ticket_enums_pb2.Priority, "PRIORITY_")
STATUS = _words(ticket_enums_pb2.Status, "STATUS_")
CLOSE_REASON = _words(ticket_enums_pb2.CloseReason, "CLOSE_REASON_")
CHANNEL = _words(ticket_enums_pb2.Channel, "CHANNEL_")
STATE = _words(delivery_pb2.DeliveryState, "DELIVERY_STATE_")
STATE_NUMBERS = {word: number for number, word in STATE.items()}
ASSIGNMENT = _words(assignment_pb2.AssignmentState, "ASSIGNMENT_STATE_")
