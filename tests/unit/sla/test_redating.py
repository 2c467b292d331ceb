"""An edited calendar: what is open goes by it as if it had always been so, verdicts stand."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from uuid import UUID, uuid4

from hypothesis import given, settings
from hypothesis import strategies as st
from waybill_sla.domain import facts, timing
from waybill_sla.domain.calendar import Plan, WorkingCalendar
from waybill_sla.domain.clock import Clock
from waybill_sla.domain.policy import Agreement, Policies, Policy, Rules
from waybill_sla.domain.targets import Hearing
from waybill_sla.domain.telling import StartReason, Telling
from waybill_sla.domain.ticket import Ticket
from waybill_sla.domain.words import Priority, Status, TargetKind

START = datetime(2026, 3, 26, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
POLICIES = Policies(
    [
        Policy(
            UUID(int=1),
            1,
            "default",
            {
                priority: {TargetKind.RESPONSE: n * HOUR, TargetKind.RESOLUTION: 4 * n * HOUR}
                for n, priority in zip((1, 3, 8, 20), Priority, strict=True)
            },
            calendar="office",
        )
    ]
)
SHIFT = ((9 * 3600, 12 * 3600), (13 * 3600, 17 * 3600))
LONG = ((0, 3 * 3600), (7 * 3600, 20 * 3600))


@st.composite
def agreements(draw: st.DrawFn, version: int) -> Agreement:
    """By a calendar of some hours, in a week in which the clocks jump."""
    week = draw(st.lists(st.sampled_from([(), SHIFT, LONG]), min_size=7, max_size=7).filter(any))
    off = draw(st.frozensets(st.dates(date(2026, 3, 25), date(2026, 4, 10)), max_size=3))
    plan = Plan(draw(st.sampled_from(["Europe/Berlin", "Asia/Tokyo"])), week, off)
    return Agreement(POLICIES, (), Rules(), {"office": WorkingCalendar(UUID(int=7), version, plan)})


@st.composite
def lives(draw: st.DrawFn) -> list[tuple[Ticket, datetime]]:
    """Up to eight steps of a ticket, which stays open."""
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
    )
    told, at = [(ticket, START)], START
    for _ in range(draw(st.integers(0, 8))):
        at += timedelta(minutes=draw(st.integers(1, 2000)))
        step = draw(st.sampled_from([Status.IN_PROGRESS, Status.AWAITING_USER, "reply", "edit"]))
        changes: dict[str, object] = {"sequence": ticket.sequence + 1}
        if step == "reply":
            changes["first_response_at"] = ticket.first_response_at or at
        elif step == "edit":
            changes["priority"] = draw(st.sampled_from(list(Priority)))
        elif step is not ticket.status:
            changes |= {"status": step, "status_since": at}
        ticket = replace(ticket, **changes)
        told.append((ticket, at))
    return told


def hear(clock: Clock, ticket: Ticket, at: datetime, agreed: Agreement) -> Clock:
    return facts.hear_ticket(clock, ticket, Hearing(at, "e", at, uuid4), agreed).clock


def tick(clock: Clock, now: datetime, agreed: Agreement) -> Clock:
    while live := timing.due(clock, timing.wanted(clock, agreed), agreed, now):
        for alarm in live:
            clock = timing.fire(clock, alarm, agreed, now, uuid4()).clock
    return clock


def lived(told: list[tuple[Ticket, datetime]], agreed: Agreement, end: datetime) -> Clock:
    """With the timers between the facts."""
    clock = Clock(told[0][0].id)
    for ticket, at in told:
        if clock.ticket is not None:
            clock = tick(clock, at, agreed)
        clock = hear(clock, ticket, at, agreed)
    return tick(clock, end, agreed)


def redated(clock: Clock, now: datetime, agreed: Agreement) -> tuple[Clock, tuple[Telling, ...]]:
    outcome = facts.redate(clock, Hearing(now, "r", now, uuid4), agreed)
    return outcome.clock, outcome.told


@given(lives(), agreements(1), agreements(2), st.integers(0, 5000))
@settings(max_examples=300, deadline=None)
def test_what_is_open_is_as_if_the_calendar_had_always_been_so(
    told: list[tuple[Ticket, datetime]], old: Agreement, new: Agreement, minutes: int
) -> None:
    """Due times and timers of a recomputation from the facts; verdicts as they were given."""
    end = told[-1][1] + timedelta(minutes=minutes)
    before = lived(told, old, end)
    after, said = redated(before, end, new)
    recomputed = Clock(before.ticket_id)
    for ticket, at in told:
        recomputed = hear(recomputed, ticket, at, new)
    for target in before.targets:
        now = after.target(target.kind)
        if not target.open:
            assert now == target
            continue
        other = recomputed.target(target.kind)
        assert (now.due_at, now.allowed, now.calendar) == (
            other.due_at,
            other.allowed,
            new.calendars["office"],
        )
        # A deadline that has passed by the new calendar is the timer's to tell.
        late, known = (tick(clock, end, new).target(target.kind) for clock in (after, recomputed))
        assert (late.breached_at is None) == (known.breached_at is None)
    moved = [t.due_at for t in before.targets] != [t.due_at for t in after.targets]
    starts = [getattr(telling, "reason", None) for telling in said].count(StartReason.REDATED)
    assert starts >= moved
    assert starts <= 1
    assert redated(after, end, new) == (after, ())


@given(lives(), agreements(1), agreements(2), st.integers(0, 5000))
@settings(max_examples=200, deadline=None)
def test_a_verdict_outlives_the_edit_and_what_comes_after_it(
    told: list[tuple[Ticket, datetime]], old: Agreement, new: Agreement, minutes: int
) -> None:
    """A note, hours later, takes nothing back and tells nothing again."""
    end = told[-1][1] + timedelta(minutes=minutes)
    after, _ = redated(lived(told, old, end), end, new)
    ticket = replace(told[-1][0], sequence=99)
    outcome = facts.hear_ticket(after, ticket, Hearing(end, "n", end, uuid4), new)
    for target in after.targets:
        if not target.open:
            assert outcome.clock.target(target.kind) == target
