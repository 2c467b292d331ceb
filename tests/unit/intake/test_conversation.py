"""Where an answer goes once its ticket is closed."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from waybill_chassis.ids import new_id
from waybill_intake.domain.conversation import follow_up, heir
from waybill_intake.domain.ticket import Link, Submitter, Ticket
from waybill_intake.domain.words import Channel, LinkKind, Priority, Status, TicketType

START = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
KIM, SAM = (Submitter(new_id(), f"{name}@example.com") for name in ("kim", "sam"))


def a_ticket(*, age: int = 0, **fields: Any) -> Ticket:
    at = START - timedelta(hours=age)
    known: dict[str, Any] = {
        "id": new_id(),
        "number": "WB-1",
        "product": "shop",
        "type": TicketType.TECHNICAL,
        "priority": Priority.MEDIUM,
        "status": Status.CLOSED,
        "title": "It does not start",
        "description": "Since this morning.",
        "channel": Channel.API,
        "submitter": KIM,
        "created_at": at,
        "updated_at": at,
        "status_since": at,
        "episode_since": at,
    }
    return Ticket(**(known | fields))


def followed_by(ticket: Ticket, *others: Ticket) -> Ticket:
    links = tuple(Link(LinkKind.FOLLOWED_BY, other.id, other.number) for other in others)
    return replace(ticket, links=links)


def heir_of(ticket: Ticket, *known: Ticket, follow_ups: bool = True) -> Ticket | None:
    return heir(ticket, {one.id: one for one in known}.get, follow_ups=follow_ups)


def test_an_open_ticket_is_its_own_heir() -> None:
    """Whatever hangs on it."""
    ticket = a_ticket(status=Status.RESOLVED)
    assert heir_of(ticket) is ticket


@pytest.mark.parametrize("follow_ups", [True, False])
def test_a_merged_ticket_goes_on_in_the_one_that_remains(follow_ups: bool) -> None:
    """Through any number of merges, whoever that ticket is for."""
    last = a_ticket(status=Status.PENDING, submitter=SAM)
    middle = a_ticket(merged_into=last.id)
    assert heir_of(a_ticket(merged_into=middle.id), middle, last, follow_ups=follow_ups) is last


def test_of_several_follow_ups_the_newest_open_one_of_the_same_person_goes_on() -> None:
    """Not a closed one, not somebody else's, not one that went to another product."""
    old, new = (a_ticket(age=age, status=Status.PENDING) for age in (2, 1))
    foreign = a_ticket(status=Status.PENDING, submitter=SAM)
    gone = a_ticket(status=Status.PENDING, product="toys")
    between = followed_by(a_ticket(), new)
    ticket = followed_by(a_ticket(age=3), foreign, gone, old, between)
    known = (old, new, foreign, gone, between)
    assert heir_of(ticket, *known) is new
    assert heir_of(ticket, *known, follow_ups=False) is None
    assert heir_of(followed_by(a_ticket(), foreign, gone), *known) is None


def test_links_in_a_circle_lead_nowhere() -> None:
    """Agents may link as they like."""
    first, second = a_ticket(), a_ticket()
    first, second = followed_by(first, second), followed_by(second, first)
    assert heir_of(first, first, second) is None


def test_a_follow_up_says_re_once_and_fits_into_a_line() -> None:
    """However often it goes on."""
    draft = follow_up(a_ticket(title="x" * 200), "More.")
    assert (draft.title[:5], len(draft.title)) == ("Re: x", 200)
    again = follow_up(a_ticket(title=draft.title), "And more.")
    assert again.title == draft.title
