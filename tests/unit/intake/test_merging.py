"""Merging, and undoing it."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from waybill_chassis.ids import new_id
from waybill_intake.domain import merging, rules
from waybill_intake.domain.ticket import Merge, Merged, Ticket, Watcher
from waybill_intake.domain.words import Channel, Priority, Status, TicketType

START = datetime(2026, 3, 2, 9, tzinfo=UTC)
DAY = timedelta(days=1)
# What tells of time and of the number of changes goes on; all else is to be as before.
ONWARD = {"version", "updated_at", "status_since", "episode", "episode_since", "reminders"}

open_tickets = st.builds(
    Ticket,
    id=st.builds(new_id),
    number=st.sampled_from(["WB-1", "WB-2"]),
    product=st.just("shop"),
    type=st.sampled_from(TicketType),
    priority=st.sampled_from(Priority),
    status=st.sampled_from([status for status in Status if status is not Status.CLOSED]),
    title=st.just("t"),
    description=st.just("d"),
    channel=st.just(Channel.API),
    created_at=st.just(START),
    updated_at=st.just(START),
    status_since=st.just(START),
    episode_since=st.just(START),
    watchers=st.lists(st.sampled_from("abc").map(Watcher), unique=True, max_size=3).map(tuple),
    set_by_person=st.sampled_from([(), ("priority",)]),
    attachment_ids=st.lists(st.builds(new_id), max_size=2).map(tuple),
).map(lambda ticket: replace(ticket, resolved_at=START) if ticket.status == "resolved" else ticket)


def ends(facts: list[Any]) -> dict[Any, Ticket]:
    return {fact.ticket.id: fact.ticket for fact in facts}


def record_of(facts: list[Any]) -> Merge:
    return next(fact.merge for fact in facts if isinstance(fact, Merged))


def same(before: Ticket, after: Ticket) -> bool:
    kept = {name: getattr(before, name) for name in ONWARD}
    return replace(after, **kept) == before


@given(open_tickets, open_tickets)
def test_a_merge_that_is_undone_leaves_both_as_they_were(source: Ticket, target: Ticket) -> None:
    """Status, priority, watchers, attachments and marks are those of before."""
    facts = merging.merge(source, target, START, id=new_id())
    merged = ends(facts)
    assert merged[target.id].priority.rank == max(source.priority.rank, target.priority.rank)
    assert {*source.watchers, *target.watchers} == {*merged[target.id].watchers}
    assert {*source.attachment_ids} <= {*merged[target.id].attachment_ids}
    again = merging.undo(
        record_of(facts), merged[source.id], merged[target.id], START + timedelta(hours=1), DAY
    )
    assert same(source, ends(again)[source.id])
    assert same(target, ends(again)[target.id])


@given(open_tickets, open_tickets)
def test_what_was_changed_since_the_merge_stays(source: Ticket, target: Ticket) -> None:
    """A priority that somebody has set meanwhile is not taken back."""
    facts = merging.merge(source, target, START, id=new_id())
    merged = ends(facts)
    other = next(p for p in Priority if p not in (source.priority, merged[target.id].priority))
    (edited,) = rules.edit(merged[target.id], {"priority": other}, START, person=True)
    again = merging.undo(record_of(facts), merged[source.id], edited.ticket, START, DAY)
    assert ends(again)[target.id].priority is other


def test_only_a_merge_of_today_that_stands_can_be_undone() -> None:
    """Too late, never merged, or merged further: each is said so."""
    first, second, third = (
        replace(ticket, id=new_id(), number=f"WB-{number}")
        for number, ticket in enumerate([a_ticket()] * 3)
    )
    facts = merging.merge(first, second, START, id=new_id())
    one, two, record = ends(facts)[first.id], ends(facts)[second.id], record_of(facts)
    with pytest.raises(merging.CannotUndo, match="24 hours"):
        merging.undo(record, one, two, START + DAY + timedelta(seconds=1), DAY)
    with pytest.raises(merging.CannotUndo, match="not merged"):
        merging.undo(None, first, second, START, DAY)
    further = ends(merging.merge(two, third, START, id=new_id()))
    with pytest.raises(merging.CannotUndo, match="undo that first"):
        merging.undo(record, one, further[second.id], START, DAY)


def a_ticket() -> Ticket:
    return Ticket(
        id=new_id(),
        number="WB-1",
        product="shop",
        type=TicketType.TECHNICAL,
        priority=Priority.MEDIUM,
        status=Status.PENDING,
        title="t",
        description="d",
        channel=Channel.API,
        created_at=START,
        updated_at=START,
        status_since=START,
        episode_since=START,
    )
