"""A life replayed from what was kept of it is the life that was lived."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from hypothesis import given, settings
from hypothesis import strategies as st
from waybill_sla.domain import facts, simulation, timing
from waybill_sla.domain.clock import Clock, Outcome
from waybill_sla.domain.policy import Agreement, Policies, Policy, Rules, Rung
from waybill_sla.domain.simulation import Learnt, Life, Tally
from waybill_sla.domain.targets import Hearing
from waybill_sla.domain.telling import TicketEscalated
from waybill_sla.domain.ticket import Ticket, Wait
from waybill_sla.domain.words import Level, Priority, Status, TargetKind, Trigger

START = datetime(2026, 1, 5, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)


def agreed(hours: int, wait: int) -> Agreement:
    """All targets, in so many hours or more, and rungs for a wait and for breaches."""
    targets = {
        priority: {
            TargetKind.RESPONSE: n * hours * HOUR,
            TargetKind.RESOLUTION: 4 * n * hours * HOUR,
            TargetKind.NEXT_RESPONSE: n * hours * HOUR,
            TargetKind.UPDATE: 2 * n * hours * HOUR,
        }
        for n, priority in enumerate(Priority, 1)
    }
    ladder = (
        Rung("left", Trigger.UNASSIGNED, Level.SENIOR_SUPPORT, after=wait * HOUR),
        Rung("late", Trigger.BREACHED, Level.TECH_TEAM, TargetKind.RESOLUTION),
    )
    return Agreement(Policies([Policy(UUID(int=1), 1, "default", targets)]), ladder, Rules())


Fact = tuple[datetime, Ticket | Wait]


@st.composite
def lives(draw: st.DrawFn) -> list[Fact]:
    """Moves, words, edits and assignments, each some while after the one before."""
    ticket = Ticket(
        id=uuid4(),
        number="WB-1",
        product="demo",
        type="technical",
        priority=draw(st.sampled_from(list(Priority))),
        status=Status.PENDING,
        created_at=START,
        status_since=START,
        episode=1,
        episode_since=START,
        first_response_at=None,
        resolved_at=None,
        reopened_at=None,
        reopenings=0,
        submitter_id="s",
        submitter_email="s@example.com",
        tier="",
        sequence=1,
        last_public_at=START,
        last_public_by="submitter",
    )
    told: list[Fact] = [(START, ticket)]
    at = START
    for number in range(draw(st.integers(0, 10))):
        at += timedelta(minutes=draw(st.integers(1, 900)))
        step = draw(st.sampled_from(["move", "agent", "submitter", "edit", "note", "wait"]))
        if step == "wait":
            told.append((at, Wait(draw(st.sampled_from([None, at])), number + 1)))
            continue
        changes: dict[str, object] = {"sequence": ticket.sequence + 1}
        if step == "move":
            to = draw(st.sampled_from([one for one in Status if one is not Status.CLOSED]))
            changes |= {"status": to, "status_since": at}
            if to is Status.RESOLVED:
                changes["resolved_at"] = at
            elif ticket.status is Status.RESOLVED:
                changes |= {"resolved_at": None, "reopened_at": at}
                changes["reopenings"] = ticket.reopenings + 1
            if to is ticket.status:
                changes = {"sequence": ticket.sequence + 1}
        elif step in ("agent", "submitter"):
            changes |= {"last_public_at": at, "last_public_by": step}
            if step == "agent":
                changes["first_response_at"] = ticket.first_response_at or at
        elif step == "edit":
            changes["priority"] = draw(st.sampled_from(list(Priority)))
        ticket = replace(ticket, **changes)  # type: ignore[arg-type]
        told.append((at, ticket))
    return told


def lived(
    told: list[Fact], agreement: Agreement, until: datetime
) -> tuple[Clock, int, list[Learnt]]:
    """As it goes in life, with all timers; how often it was escalated, and what was learnt."""
    assert isinstance(told[0][1], Ticket)
    clock, escalations, known = Clock(told[0][1].id), 0, list[Learnt]()

    def take(outcome: Outcome) -> Clock:
        nonlocal escalations
        escalations += sum(isinstance(one, TicketEscalated) for one in outcome.told)
        return outcome.clock

    def tick(clock: Clock, now: datetime) -> Clock:
        while alarms := timing.due(clock, timing.wanted(clock, agreement), agreement, now):
            clock = take(timing.fire(clock, alarms[0], agreement, alarms[0].due_at, uuid4()))
        return clock

    for at, fact in told:
        if clock.ticket is not None:
            clock = tick(clock, at - timedelta(microseconds=1))
        before = clock
        if isinstance(fact, Ticket):
            hearing = Hearing(at, "e", at, uuid4)
            clock = take(facts.hear_ticket(clock, fact, hearing, agreement))
        else:
            clock = take(facts.hear_wait(clock, fact))
        if what := simulation.learnt(before, clock):
            known.append(Learnt(at, what))
    return tick(clock, until - timedelta(microseconds=1)), escalations, known


def replayed(clock: Clock, known: list[Learnt], agreement: Agreement, until: datetime) -> Life:
    told, _ = simulation.history(clock, known)
    return simulation.live(clock.ticket_id, told, agreement, until)


@given(lives(), st.integers(1, 30), st.integers(1, 30), st.integers(1, 30), st.integers(1, 30))
@settings(max_examples=200, deadline=None)
def test_a_replay_by_another_agreement_is_the_life_that_would_have_been(
    told: list[Fact], hours: int, wait: int, other_hours: int, other_wait: int
) -> None:
    """All targets and escalations, from what was kept under whatever was agreed then."""
    until = told[-1][0] + 300 * HOUR
    clock, _, known = lived(told, agreed(hours, wait), until)
    other = agreed(other_hours, other_wait)
    would_be, escalations, _ = lived(told, other, until)
    life = replayed(clock, known, other, until)
    for target in would_be.targets:
        same = life.targets[target.kind, target.started_at, target.reopening]
        assert (same.state, same.due_at, same.allowed, same.stopped_at, same.breached_at) == (
            target.state,
            target.due_at,
            target.allowed,
            target.stopped_at,
            target.breached_at,
        )
    assert sum(life.escalations.values()) == escalations


@given(lives(), st.integers(1, 30))
@settings(max_examples=100, deadline=None)
def test_the_ledger_alone_tells_the_verdicts_of_a_ticket_that_was_never_edited(
    told: list[Fact], hours: int
) -> None:
    """Of the response and the resolution, which is what can be known of it."""
    first = told[0][1]
    assert isinstance(first, Ticket)
    told = [
        (at, replace(fact, priority=first.priority) if isinstance(fact, Ticket) else fact)
        for at, fact in told
    ]
    until = told[-1][0] + 300 * HOUR
    agreement = agreed(hours, 20)
    clock, _, known = lived(told, agreement, until)
    _, exact = simulation.history(clock, known)
    assert exact
    _, exact = simulation.history(clock, [])
    assert not exact
    life = replayed(clock, [], agreement, until)
    for kind in (TargetKind.RESPONSE, TargetKind.RESOLUTION):
        target = clock.target(kind)
        same = life.targets[kind, None, target.reopening]
        assert (same.state, same.breached_at) == (target.state, target.breached_at)


@given(lives())
@settings(max_examples=10, deadline=None)
def test_nobody_is_named_in_what_is_learnt(told: list[Fact]) -> None:
    """Neither by an address nor by an id; a note is nothing new."""
    clock, _, known = lived(told, agreed(4, 4), told[-1][0])
    assert known
    for one in known:
        assert one.what
        assert not {"submitter_id", "submitter_email", "sequence"} & one.what.keys()
    tally = Tally()
    assert clock.ticket is not None
    life = replayed(clock, known, agreed(4, 4), told[-1][0])
    simulation.count(tally, clock.ticket, life, life)
    assert (tally.breaches_gained.count, tally.breaches_lost.count) == (0, 0)
