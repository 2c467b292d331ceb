"""Who did something and what led to it: the first two fields of every event."""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from waybill.common.v1.actor_pb2 import (
    ACTOR_KIND_AGENT,
    ACTOR_KIND_AUTOMATION,
    ACTOR_KIND_PRODUCT,
    ACTOR_KIND_SUBMITTER,
    CAUSE_KIND_EVENT,
    CAUSE_KIND_REQUEST,
    CAUSE_KIND_TIMER,
    Actor,
    Cause,
)

from waybill_chassis.auth import Principal
from waybill_chassis.events import Event, TraceContext
from waybill_chassis.ids import new_id


@dataclass(frozen=True, slots=True)
class Origin:
    """Who does something, what led to it, and the span it belongs to (None: the present one)."""

    actor: Actor
    cause: Cause
    trace: TraceContext | None = None

    def by_itself(self, service: str) -> "Origin":
        """The same cause, acted on by a service of ours."""
        return Origin(automation(service), self.cause, self.trace)


def nameless(origin: Origin) -> Origin:
    """The same, of a submitter who was erased: neither name nor address, nor what they go by."""
    if origin.actor.kind != ACTOR_KIND_SUBMITTER:
        return origin
    return Origin(Actor(kind=ACTOR_KIND_SUBMITTER), origin.cause, origin.trace)


def automation(service: str) -> Actor:
    """Waybill itself, by the name of the service that acts."""
    return Actor(kind=ACTOR_KIND_AUTOMATION, id=service, name=f"Waybill {service}")


def product(slug: str) -> Actor:
    """A product that acts through its topic or a service token."""
    return Actor(kind=ACTOR_KIND_PRODUCT, id=slug, name=slug)


def person(principal: Principal) -> Actor:
    """The holder of a token: an agent if they may work on tickets, a product for a service."""
    if principal.has("agent"):
        kind = ACTOR_KIND_AGENT
    elif principal.has("service"):
        kind = ACTOR_KIND_PRODUCT
    else:
        kind = ACTOR_KIND_SUBMITTER
    return Actor(
        kind=kind,
        id=principal.subject,
        name=principal.name or "",
        email=principal.email or "",
    )


def request_cause(type: str, id: str = "") -> Cause:
    """A REST or gRPC request, such as `POST /v1/tickets`; it gets an id if it has none."""
    return Cause(kind=CAUSE_KIND_REQUEST, id=id or str(new_id()), type=type)


def event_cause(event: Event[Any]) -> Cause:
    """An event or a product's request that was read from a topic."""
    return Cause(kind=CAUSE_KIND_EVENT, id=event.id, type=event.type, source=event.source)


def timer_cause(kind: str, id: UUID | str) -> Cause:
    """A timer that came due."""
    return Cause(kind=CAUSE_KIND_TIMER, id=str(id), type=kind)
