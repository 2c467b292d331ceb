"""Handling checklists: what counts where, what holds up a resolving, what was skipped."""

from datetime import UTC, datetime
from uuid import uuid4

import pytest
from waybill_chassis.problems import Invalid
from waybill_intake.domain.moves import TicketIsClosed
from waybill_intake.domain.playbooks import (
    BUILT_IN,
    EVERY_PRODUCT,
    ChecklistOpen,
    Playbook,
    Playbooks,
    Point,
    PointState,
    check_of,
    require_settled,
    settle,
    skipped,
    state_of,
)
from waybill_intake.domain.ticket import Actor, Ticket
from waybill_intake.domain.words import ActorKind, Channel, Priority, Status, TicketType

NOW = datetime(2026, 3, 2, 9, tzinfo=UTC)
ANA = Actor(ActorKind.AGENT, "ana@example.com", "Ana")
BEN = Actor(ActorKind.AGENT, "ben@example.com", "Ben")
POINTS = (
    Point("verify", "Verify", required=True),
    Point("repair", "Repair"),
    Point("help", "Help", if_needed=True),
    Point("sign", "Sign", required=True, if_needed=True),
)
BOOK = Playbook(product="shop", type=TicketType.TECHNICAL, points=POINTS)


def ticket(status: Status = Status.IN_PROGRESS) -> Ticket:
    return Ticket(
        id=uuid4(),
        number="WB-1001",
        product="shop",
        type=TicketType.TECHNICAL,
        priority=Priority.MEDIUM,
        status=status,
        title="It",
        description="Does not start.",
        channel=Channel.API,
        created_at=NOW,
        updated_at=NOW,
        status_since=NOW,
        episode_since=NOW,
    )


def put(held: Ticket, point: str, state: PointState, reason: str = "", by: Actor = ANA) -> Ticket:
    facts = settle(held, point, state, reason, by, NOW)
    return facts[-1].ticket if facts else held


def test_every_type_has_a_built_in_playbook_that_holds_up_nobody() -> None:
    """A fresh installation resolves tickets without ceremony."""
    books = Playbooks(["shop"], [])
    for type in TicketType:
        book = books.of("shop", type)
        assert book.product == BUILT_IN
        assert 0 < len(book.points) <= 30
        assert len({point.id for point in book.points}) == len(book.points)
        assert not any(point.required for point in book.points)
        require_settled(book, ticket())


def test_the_nearest_playbook_counts() -> None:
    """A product's own before that for every product before the built-in."""
    every = Playbook(product=EVERY_PRODUCT, type=TicketType.ORDER, points=POINTS)
    books = Playbooks(["shop", "bank"], [BOOK, every])
    assert books.of("shop", TicketType.TECHNICAL).product == "shop"
    assert books.of("bank", TicketType.ORDER).product == EVERY_PRODUCT
    assert books.of("bank", TicketType.TECHNICAL).product == BUILT_IN
    with pytest.raises(KeyError):
        books.of("moon", TicketType.ORDER)


def test_required_points_are_done_or_waived_before_resolving() -> None:
    """The refusal names those that are missing."""
    held = ticket()
    with pytest.raises(ChecklistOpen) as refused:
        require_settled(BOOK, held)
    assert [point["id"] for point in refused.value.extra["missing"]] == ["verify", "sign"]
    held = put(held, "verify", PointState.DONE)
    held = put(held, "sign", PointState.WAIVED, "Not needed")
    require_settled(BOOK, held)
    assert skipped(BOOK, ticket()) == ("verify", "repair", "sign")
    assert skipped(BOOK, held) == ("repair",)


def test_of_a_built_in_checklist_only_what_was_begun_can_be_skipped() -> None:
    """Else a fresh installation would count every ticket as handled badly."""
    book = Playbooks(["shop"], []).of("shop", TicketType.TECHNICAL)
    assert skipped(book, ticket()) == ()
    begun = put(ticket(), "quick-diagnosis", PointState.DONE)
    assert skipped(book, begun) == ("solution-given", "followed-up")


def test_settling_a_point_twice_is_settling_it_once() -> None:
    """The first one stands; another state or reason is a change that says before and after."""
    held = ticket()
    done = put(held, "verify", PointState.DONE)
    assert settle(done, "verify", PointState.DONE, "", BEN, NOW) == []
    assert done.version == held.version + 1
    (fact,) = settle(done, "verify", PointState.WAIVED, "No access", BEN, NOW)
    assert [(one.field, one.before, one.after) for one in fact.changes] == [
        ("checklist.verify", "done", "waived"),
        ("checklist.verify.reason", "", "No access"),
    ]
    check = check_of(fact.ticket, "verify")
    assert check is not None
    assert (check.by, check.reason, state_of(check)) == (BEN.id, "No access", PointState.WAIVED)
    again = put(fact.ticket, "verify", PointState.OPEN)
    assert again.checks == ()


def test_what_does_not_fit_is_refused() -> None:
    """Waiving needs a reason, nothing else takes one, and a closed ticket never changes."""
    with pytest.raises(Invalid):
        put(ticket(), "verify", PointState.WAIVED)
    with pytest.raises(Invalid):
        put(ticket(), "verify", PointState.DONE, "because")
    with pytest.raises(TicketIsClosed):
        put(ticket(Status.CLOSED), "verify", PointState.DONE)
