"""The rules of a ticket's life."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from waybill_chassis.ids import new_id
from waybill_chassis.problems import Invalid, Problem
from waybill_intake.domain import merging, rules
from waybill_intake.domain.moves import MERGES, MOVES, Move, MoveRefused, TicketIsClosed, move
from waybill_intake.domain.ticket import Actor, Draft, Fact, Moved, Rated, Submitter, Ticket
from waybill_intake.domain.words import (
    ActorKind,
    Channel,
    CloseReason,
    FollowUpKind,
    LinkKind,
    MessageKind,
    Priority,
    Status,
    TicketType,
)

START = datetime(2026, 1, 5, 9, tzinfo=UTC)
DAY = timedelta(days=1)
PERSON = Submitter(new_id(), "kim@example.com", "Kim")
AGENT = Actor(ActorKind.AGENT, "ana@example.com", "Ana")


def a_ticket(by: ActorKind = ActorKind.SUBMITTER, **draft: Any) -> Ticket:
    return rules.open_ticket(
        Draft(**({"type": TicketType.TECHNICAL, "title": "t", "description": "d"} | draft)),
        id=new_id(),
        number="WB-1001",
        product="shop",
        channel=Channel.API,
        submitter=PERSON,
        by=by,
        default_priority=Priority.MEDIUM,
        at=START,
    ).ticket


def moved(ticket: Ticket, *path: Status) -> Ticket:
    for to in path:
        ticket = move(ticket, to, ActorKind.AGENT, START).ticket
    return ticket


def say(ticket: Ticket, by: Actor, kind: MessageKind = MessageKind.REPLY) -> list[Fact]:
    return rules.post(ticket, id=new_id(), kind=kind, author=by, body="b", at=START + DAY)


calls = st.one_of(
    st.tuples(
        st.just("move"),
        st.sampled_from(Status),
        st.sampled_from(ActorKind),
        st.one_of(st.none(), st.sampled_from(CloseReason)),
    ),
    st.tuples(st.just("post"), st.sampled_from(MessageKind), st.sampled_from(ActorKind)),
    st.tuples(st.just("follow_up"), st.sampled_from(FollowUpKind), st.integers(-1, 0)),
    st.tuples(st.sampled_from(["assigned", "released", "repeat", "merge", "edit", "rate"])),
)


def call(ticket: Ticket, what: tuple[Any, ...], at: datetime) -> list[Fact]:
    match what:
        case "move", to, by, reason:
            return [move(ticket, to, by, at, reason=reason)]
        case "post", kind, by:
            return rules.post(
                ticket, id=new_id(), kind=kind, author=Actor(by, "x"), body="b", at=at
            )
        case "follow_up", kind, offset:
            return rules.follow_up(ticket, kind, ticket.episode + offset, at)
        case ("assigned",):
            return list(rules.assigned(ticket, at))
        case ("released",):
            return list(rules.released(ticket, at))
        case ("repeat",):
            return rules.repeat(ticket, at) if ticket.is_open else []
        case ("merge",):
            facts = merging.merge(ticket, a_ticket(), at, id=new_id())
            return [fact for fact in facts if fact.ticket.id == ticket.id]
        case ("edit",):
            return list(rules.edit(ticket, {"title": f"{at}"}, at, person=True))
        case _:
            return [rules.rate(ticket, 5, "", at, 14 * DAY)]


@given(st.lists(calls, max_size=30), st.sampled_from(ActorKind))
@settings(max_examples=300, deadline=None)
def test_no_sequence_of_calls_leaves_the_table(sequence: list[Any], by: ActorKind) -> None:
    """Whatever is tried: only the table's moves happen, versions grow by one, closed is closed."""
    ticket = a_ticket(by)
    for number, what in enumerate(sequence):
        try:
            facts = call(ticket, what, START + timedelta(hours=number))
        except Problem:
            continue
        for fact in facts:
            after = fact.ticket
            assert after.version == ticket.version + 1
            assert after.updated_at >= ticket.updated_at
            if isinstance(fact, Moved):
                made = Move(ticket.status, after.status, after.close_reason)
                assert made in MOVES or made in MERGES
                assert after.episode == ticket.episode + 1
            else:
                assert after.status is ticket.status
            if not ticket.is_open:
                assert isinstance(fact, Rated) or what == ("merge",)
            assert (after.resolved_at is not None) >= (after.status is Status.RESOLVED)
            assert (after.closed_at is not None) == (after.status is Status.CLOSED)
            ticket = after


def test_a_refused_move_names_the_moves_that_are_allowed() -> None:
    """The refusal tells programs and people what would be possible."""
    with pytest.raises(MoveRefused) as refused:
        move(a_ticket(), Status.AWAITING_USER, ActorKind.AGENT, START)
    assert refused.value.extra["allowed"] == ["in_progress", "resolved", "closed"]
    assert "closed (no_action_needed)" in refused.value.detail
    with pytest.raises(MoveRefused) as refused:
        move(moved(a_ticket(), Status.IN_PROGRESS), Status.PENDING, ActorKind.AGENT, START)
    assert "pending" not in refused.value.extra["allowed"]
    with pytest.raises(Invalid):
        move(a_ticket(), Status.RESOLVED, ActorKind.AGENT, START, reason=CloseReason.RESOLVED)


@pytest.mark.parametrize(
    ("by", "reason"),
    [(ActorKind.SUBMITTER, CloseReason.USER_CONFIRMED), (ActorKind.AGENT, CloseReason.RESOLVED)],
)
def test_closing_a_resolved_ticket_says_who_closed_it(by: ActorKind, reason: CloseReason) -> None:
    """The submitter confirms, an agent closes."""
    closed = move(moved(a_ticket(), Status.RESOLVED), Status.CLOSED, by, START).ticket
    assert closed.close_reason is reason
    assert closed.resolved_at == START


def test_the_first_public_reply_of_an_agent_is_the_first_response() -> None:
    """Neither a note nor the submitter nor a second reply counts."""
    ticket = say(a_ticket(), PERSON.actor())[-1].ticket
    ticket = say(ticket, AGENT, MessageKind.NOTE)[-1].ticket
    assert ticket.first_response_at is None
    posted, started = say(ticket, AGENT)
    assert posted.message.first_response  # type: ignore[attr-defined]
    assert started.ticket.status is Status.IN_PROGRESS
    assert started.ticket.response_seconds == DAY.total_seconds()
    again = say(started.ticket, AGENT)
    assert not again[0].message.first_response  # type: ignore[attr-defined]


def test_a_note_begins_no_episode_and_an_answer_does() -> None:
    """What is bound to an episode outlives notes and edits."""
    ticket = moved(a_ticket(), Status.IN_PROGRESS, Status.AWAITING_USER)
    episode = ticket.episode
    noted = say(ticket, AGENT, MessageKind.NOTE)[-1].ticket
    assert noted.episode == episode
    resumed = say(noted, PERSON.actor())[-1].ticket
    assert resumed.status is Status.IN_PROGRESS
    assert resumed.episode == episode + 2


def test_an_answer_reopens_a_resolved_ticket_and_not_a_closed_one() -> None:
    """After the closing only a new ticket helps."""
    resolved = moved(a_ticket(), Status.RESOLVED)
    reopened = say(resolved, PERSON.actor())[-1].ticket
    assert (reopened.status, reopened.reopenings) == (Status.IN_PROGRESS, 1)
    assert reopened.resolved_at is None
    with pytest.raises(TicketIsClosed, match="open a new ticket"):
        say(moved(resolved, Status.CLOSED), PERSON.actor())


def test_each_reminder_is_posted_once_an_episode_and_only_in_it() -> None:
    """An overtaken follow-up does nothing."""
    ticket = moved(a_ticket(), Status.IN_PROGRESS, Status.AWAITING_USER)
    kind, episode = FollowUpKind.REMINDER_1, ticket.episode
    reminded = rules.follow_up(ticket, kind, episode, START)[0].ticket
    assert reminded.episode == episode
    assert rules.follow_up(reminded, kind, episode, START) == []
    answered = say(reminded, PERSON.actor())[-1].ticket
    for due in FollowUpKind:
        assert rules.follow_up(answered, due, episode, START) == []


def test_a_merge_keeps_the_higher_priority() -> None:
    """The source is closed as a duplicate, the target takes over the haste."""
    source, target = a_ticket(priority=Priority.URGENT), a_ticket()
    facts = merging.merge(source, target, START, id=new_id())
    ends = {fact.ticket.id: fact.ticket for fact in facts}
    assert ends[source.id].close_reason is CloseReason.DUPLICATE
    assert ends[source.id].merged_into == target.id
    assert ends[target.id].priority is Priority.URGENT
    assert "priority" in ends[target.id].set_by_person
    with pytest.raises(merging.CannotMerge):
        merging.merge(ends[target.id], ends[source.id], START, id=new_id())


def test_triage_leaves_alone_what_a_person_has_set() -> None:
    """Only sure suggestions count, and only where nobody has decided."""
    sure = [
        rules.Suggestion("type", TicketType.ORDER, 0.99),
        rules.Suggestion("priority", Priority.HIGH, 0.8),
        rules.Suggestion("language", "de", 0.79),
        rules.Suggestion("tags", "refund", 0.9),
    ]
    (edited,) = rules.triage(a_ticket(), sure, 0.8, START)
    assert {change.field for change in edited.changes} == {"priority", "tags"}
    assert rules.triage(a_ticket(priority=Priority.LOW, tags=("x",)), sure, 0.8, START) == []


def test_a_rating_is_given_once_and_within_its_days() -> None:
    """Neither before the closing, nor twice, nor too late."""
    ticket = moved(a_ticket(), Status.RESOLVED)
    closed = moved(ticket, Status.CLOSED)
    rated = rules.rate(closed, 5, "", START + 14 * DAY, 14 * DAY).ticket
    for wrong, at in (
        (ticket, START),
        (rated, START),
        (closed, START + 14 * DAY + timedelta(seconds=1)),
    ):
        with pytest.raises(rules.CannotRate):
            rules.rate(wrong, 1, "", at, 14 * DAY)


def test_a_repeated_request_counts_up_and_reopens() -> None:
    """The product's reference stands for one thing."""
    ticket = a_ticket(ActorKind.PRODUCT, external_ref="alert-7")
    (counted,) = rules.repeat(ticket, START)
    assert counted.ticket.occurrences == 2
    reopened = rules.repeat(moved(counted.ticket, Status.RESOLVED), START)[-1].ticket
    assert (reopened.occurrences, reopened.status) == (3, Status.IN_PROGRESS)


def test_a_product_resolves_only_what_it_opened() -> None:
    """Its monitor's "it recovered" is not for a person's ticket."""
    own = a_ticket(ActorKind.PRODUCT)
    assert move(own, Status.RESOLVED, ActorKind.PRODUCT, START).ticket.status is Status.RESOLVED
    with pytest.raises(MoveRefused):
        move(a_ticket(), Status.RESOLVED, ActorKind.PRODUCT, START)


def test_each_end_of_a_link_knows_what_the_other_is() -> None:
    """A follow-up follows; what it follows is followed by it."""
    new, old = a_ticket(), moved(a_ticket(), Status.RESOLVED, Status.CLOSED)
    mine, theirs = rules.link(new, old, LinkKind.FOLLOW_UP, START)
    assert (mine.link.kind, theirs.link.kind) == (LinkKind.FOLLOW_UP, LinkKind.FOLLOWED_BY)
    assert rules.link(mine.ticket, theirs.ticket, LinkKind.FOLLOW_UP, START) == []
