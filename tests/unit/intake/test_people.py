"""What an erasure takes out of a ticket and what it leaves, and who watches."""

import re
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from waybill_chassis.ids import new_id
from waybill_intake import events
from waybill_intake.domain import people, rules, watching
from waybill_intake.domain.moves import TicketIsClosed
from waybill_intake.domain.people import ERASED, Known
from waybill_intake.domain.ticket import Check, Rating, Submitter, Ticket, Watcher
from waybill_intake.domain.words import (
    ActionKind,
    Channel,
    CloseReason,
    Priority,
    Status,
    TicketType,
)

START = datetime(2026, 1, 5, 9, tzinfo=UTC)
LATER = START + timedelta(hours=1)
KIM = Known(UUID(int=7), "kim@example.com", "Kim")


def a_ticket(**fields: Any) -> Ticket:
    return Ticket(
        **{
            "id": new_id(),
            "number": "WB-1",
            "product": "shop",
            "type": TicketType.ORDER,
            "priority": Priority.LOW,
            "status": Status.PENDING,
            "title": "Kim's parcel",
            "description": "It is late.",
            "tags": ("late",),
            "custom_fields": {"pet": "cat"},
            "order_refs": ("A-1",),
            "external_ref": "case-1",
            "channel": Channel.API,
            "submitter": Submitter(KIM.id, KIM.email, KIM.name, "gold"),
            "created_at": START,
            "updated_at": START,
            "status_since": START,
            "episode_since": START,
        }
        | fields
    )


def test_an_erasure_takes_the_words_and_leaves_the_facts() -> None:
    """And is told without a word of what was there before."""
    ticket = a_ticket(
        rating=Rating(4, "Kim is glad", START),
        watchers=(Watcher(KIM.email, "Kim"), Watcher("ana@example.com", "Ana")),
        checks=(Check("called", "ana", START, waived=True, reason="Kim hung up"),),
    )
    fact = people.erase(ticket, KIM, LATER)
    after = fact.ticket
    assert (after.title, after.description, after.external_ref) == (ERASED, ERASED, "")
    assert (after.custom_fields, after.order_refs) == ({}, ())
    assert after.submitter == Submitter(KIM.id, "", "", "gold")
    assert after.rating == Rating(4, "", START)
    assert after.watchers == (Watcher("ana@example.com", "Ana"),)
    assert after.checks[0].reason == f"{ERASED} hung up"
    assert (after.tags, after.type, after.created_at) == (ticket.tags, ticket.type, START)
    assert (after.erased_at, after.version) == (LATER, 2)
    told = events.to_event(fact, events.from_actor(events.actor_pb2.Actor()), None)  # type: ignore[arg-type]
    assert "kim" not in str(told).lower()
    assert told.ticket.HasField("erased_at")  # type: ignore[attr-defined]


@pytest.mark.parametrize("status", [one for one in Status if one is not Status.CLOSED])
def test_an_open_ticket_is_closed_with_it_and_a_closed_one_stays_as_it_is(status: Status) -> None:
    """Nobody is left who could be helped."""
    after = people.erase(a_ticket(status=status), KIM, LATER).ticket
    (closed,) = people.close(after, LATER)
    assert closed.ticket.close_reason is CloseReason.NO_ACTION_NEEDED
    assert people.close(closed.ticket, LATER) == []


def test_no_link_in_a_mail_acts_for_an_erased_person() -> None:
    """Not even the one that wants no more mails."""
    ticket = a_ticket()
    assert ActionKind.CONFIRM in rules.actions_of(ticket, START, timedelta(days=14))
    after = people.erase(ticket, KIM, LATER).ticket
    assert rules.actions_of(after, LATER, timedelta(days=14)) == []


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Dear KIM, is Kim@Example.com right?", "Dear (erased), is (erased) right?"),
        ("Kimono and akim@example.community", "Kimono and akim@example.community"),
        ("(Kim)", "((erased))"),
    ],
)
def test_names_and_addresses_are_found_as_whole_words(text: str, left: str) -> None:
    assert re.sub(KIM.traces, ERASED, text, flags=re.IGNORECASE) == left


def test_names_may_hold_anything() -> None:
    """What is special to patterns is taken as it is written; a nameless person has an address."""
    odd = Known(KIM.id, "o+x@example.com", "O. (x) *")
    assert re.sub(odd.traces, "-", "o+x@example.com: O. (x) *!") == "-: -!"
    nameless = Known(KIM.id, "o@example.com", "")
    assert re.sub(nameless.traces, "-", "o@example.com, you") == "-, you"


def test_to_watch_twice_changes_nothing_and_a_closed_ticket_has_its_watchers() -> None:
    """They can be forgotten there, but not come or go."""
    ana = Watcher("ana@example.com", "Ana")
    (fact,) = watching.watch(a_ticket(), ana, LATER)
    assert watching.watch(fact.ticket, Watcher(ana.email), LATER) == []
    assert watching.unwatch(a_ticket(), ana.email, LATER) == []
    closed = a_ticket(status=Status.CLOSED, closed_at=START, watchers=(ana,))
    with pytest.raises(TicketIsClosed):
        watching.watch(closed, Watcher("ben@example.com"), LATER)
    with pytest.raises(TicketIsClosed):
        watching.unwatch(closed, ana.email, LATER)
    (gone,) = people.forget_watcher(closed, Known(KIM.id, ana.email, ""), LATER)
    assert gone.ticket.watchers == ()
    full = a_ticket(watchers=tuple(Watcher(f"{n}@example.com") for n in range(watching.MOST)))
    with pytest.raises(watching.TooManyWatchers):
        watching.watch(full, ana, LATER)
