"""Handling checklists: what is to be done before a ticket of a type counts as solved."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from waybill_chassis.problems import Conflict, invalid_field

from waybill_intake.domain.moves import require_open
from waybill_intake.domain.ticket import Actor, Change, Check, Edited, Ticket
from waybill_intake.domain.words import TicketType

EVERY_PRODUCT = "*"
"""In place of a product's slug: for all that have no playbook of their own."""
BUILT_IN = "built_in"
"""In place of a product's slug: what counts where nobody has configured anything."""


class PointState(StrEnum):
    """Where a point of a ticket's checklist stands."""

    OPEN = "open"
    DONE = "done"
    WAIVED = "waived"


@dataclass(frozen=True, slots=True)
class Point:
    """One thing to do. `if_needed`: nobody misses it where it is left open."""

    id: str
    title: str
    hint: str = ""
    required: bool = False
    if_needed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Playbook:
    """The points for tickets of a type, in their order; `product` is whose they are."""

    product: str
    type: TicketType
    points: tuple[Point, ...]
    version: int = 0
    updated_at: datetime | None = None
    updated_by: str = ""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a playbook can be configured, and what counts there; `version` is the place's own."""

    product: str
    playbook: Playbook
    version: int

    @property
    def is_configured(self) -> bool:
        """Whether it has a playbook of its own."""
        return self.playbook.product == self.product


class ChecklistOpen(Conflict):
    """Required points are neither done nor waived; `missing` says which."""

    title = "Checklist is open"


# None of them is required, so that a fresh installation resolves tickets without ceremony.
_POINTS: dict[TicketType, tuple[Point, ...]] = {
    TicketType.TECHNICAL: (
        Point("quick-diagnosis", "Quick diagnosis", "What fails, since when, for whom?"),
        Point("solution-given", "Solution given", "Steps that the user can follow."),
        Point("remote-help", "Remote help", "Where steps alone do not do it.", if_needed=True),
        Point("followed-up", "Followed up", "Does it work, and does it go on working?"),
    ),
    TicketType.ACCOUNT: (
        Point("identity-verified", "Identity verified", "Before anything is told or changed."),
        Point("security-kept", "Security kept", "No passwords, only what the person may have."),
        Point("operations-logged", "Operations logged", "Every change of the account, in a note."),
    ),
    TicketType.ORDER: (
        Point("order-verified", "Order data verified", "Number, items, payment, shipment."),
        Point("procedure-followed", "Procedure followed", "Returns, refunds, replacements."),
        Point("progress-told", "Progress told", "What happens next, and by when."),
    ),
    TicketType.PRODUCT_INQUIRY: (
        Point("question-understood", "Question understood", "What do they want to achieve?"),
        Point("answer-given", "Answer given", "With a link to the article, where there is one."),
        Point("article-missing", "Missing article noted", "For the next one.", if_needed=True),
    ),
    TicketType.COMPLAINT: (
        Point("apologised", "Apologised", "And said back what went wrong."),
        Point("cause-found", "Cause found"),
        Point("remedy-offered", "Remedy offered"),
        Point("outcome-told", "Outcome told", "What becomes of it, with the outcome set."),
    ),
    TicketType.SUGGESTION: (
        Point("thanked", "Thanked"),
        Point("passed-on", "Passed on", "To those who decide about the product."),
        Point("outcome-told", "Outcome told", "What becomes of it, with the outcome set."),
    ),
}


def built_in(type: TicketType) -> Playbook:
    """What counts where nobody has configured anything."""
    return Playbook(product=BUILT_IN, type=type, points=_POINTS[type])


class Playbooks:
    """Those of some products: a product's own, else that for every product, else the built-in."""

    def __init__(self, products: Iterable[str], configured: Iterable[Playbook]) -> None:
        self._products = frozenset(products)
        self._configured = {(one.product, one.type): one for one in configured}

    def knows(self, product: str) -> bool:
        """Whether it was asked for this product's."""
        return product in self._products

    def of(self, product: str, type: TicketType) -> Playbook:
        """What counts for tickets of a product and type; `KeyError` for one not asked for."""
        if not self.knows(product):
            raise KeyError(product)
        for place in (product, EVERY_PRODUCT):
            if found := self._configured.get((place, type)):
                return found
        return built_in(type)


def check_of(ticket: Ticket, point: str) -> Check | None:
    """Who settled a point of the ticket's checklist; None while it is open."""
    return next((check for check in ticket.checks if check.point == point), None)


def state_of(check: Check | None) -> PointState:
    """Where a point stands."""
    if check is None:
        return PointState.OPEN
    return PointState.WAIVED if check.waived else PointState.DONE


def _open(playbook: Playbook, ticket: Ticket) -> list[Point]:
    return [point for point in playbook.points if check_of(ticket, point.id) is None]


def skipped(playbook: Playbook, ticket: Ticket) -> tuple[str, ...]:
    """The points that are neither done nor waived, though they always apply.

    A built-in checklist is an offer: where nobody has begun it, nothing was skipped.
    """
    if playbook.product == BUILT_IN and len(_open(playbook, ticket)) == len(playbook.points):
        return ()
    return tuple(
        point.id for point in _open(playbook, ticket) if point.required or not point.if_needed
    )


def require_settled(playbook: Playbook, ticket: Ticket) -> None:
    """Raise `ChecklistOpen` while a required point is neither done nor waived."""
    missing = [point for point in _open(playbook, ticket) if point.required]
    if missing:
        titles = ", ".join(point.title for point in missing)
        raise ChecklistOpen(
            f"{ticket.number} cannot be resolved before this is done, or waived for a reason: "
            f"{titles}.",
            missing=[{"id": point.id, "title": point.title} for point in missing],
            checklist=f"/v1/tickets/{ticket.id}/checklist",
        )


def settle(
    ticket: Ticket, point: str, state: PointState, reason: str, by: Actor, at: datetime
) -> list[Edited]:
    """Tick a point, waive it for a reason, or open it again; nothing where it stands so already."""
    require_open(ticket)
    if state is PointState.WAIVED and not reason:
        raise invalid_field("reason", "is required to waive a point")
    if state is not PointState.WAIVED and reason:
        raise invalid_field("reason", "is only for waiving: leave it out")
    held = check_of(ticket, point)
    before, excuse = state_of(held), held.reason if held else ""
    if (before, excuse) == (state, reason):
        return []
    field = f"checklist.{point}"
    changes = [
        Change(field=name, before=old, after=new)
        for name, old, new in ((field, before, state), (f"{field}.reason", excuse, reason))
        if old != new
    ]
    checks = tuple(check for check in ticket.checks if check.point != point)
    if state is not PointState.OPEN:
        waived = state is PointState.WAIVED
        checks += (Check(point, by.id, max(at, ticket.updated_at), waived, reason),)
    return [Edited(ticket=ticket.changed(at, checks=checks), changes=tuple(changes))]
