"""Who may see and do what: submitters their own, agents and products what is of their products."""

from waybill_chassis.auth import Principal
from waybill_chassis.problems import Forbidden

from waybill_intake.domain.attachments import Owner
from waybill_intake.domain.ticket import Actor, Ticket
from waybill_intake.domain.words import ActorKind


def standing(caller: Principal) -> ActorKind:
    """As what the caller acts here; `Forbidden` if they have no role that counts."""
    for role, kind in (
        ("agent", ActorKind.AGENT),
        ("service", ActorKind.PRODUCT),
        ("submitter", ActorKind.SUBMITTER),
    ):
        if caller.has(role):
            return kind
    raise Forbidden(
        "This needs the role submitter, agent or service.",
        required_roles=["submitter", "agent", "service"],
    )


def address_of(caller: Principal) -> str:
    """The caller's e-mail address, by which a submitter is known."""
    if caller.address is None:
        raise Forbidden("Your token names no e-mail address, by which a submitter is known.")
    return caller.address


def can_see(caller: Principal, ticket: Ticket) -> bool:
    """Whether the ticket is the caller's to see."""
    return caller.can_see_ticket(ticket.product, ticket.submitter.email if ticket.submitter else "")


def owner_of(caller: Principal, product: str) -> Owner:
    """As whose the caller's uploads count, when something of this product is to carry them."""
    match standing(caller):
        case ActorKind.SUBMITTER:
            return Owner(ActorKind.SUBMITTER, address_of(caller))
        case ActorKind.PRODUCT:
            return Owner(ActorKind.PRODUCT, product)
        case kind:
            return Owner(kind, caller.subject)


def actor_of(caller: Principal, product: str) -> Actor:
    """The caller as the one who acts; a service token acts for the product."""
    kind = standing(caller)
    if kind is ActorKind.PRODUCT:
        return Actor(kind, product, product)
    return Actor(kind, caller.subject, caller.name or "", caller.email or "")
