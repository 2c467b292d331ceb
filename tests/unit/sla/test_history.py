"""Any history of moves gives the same clock, however late and in whatever portions it is heard."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from hypothesis import given, settings
from hypothesis import strategies as st
from waybill_sla.domain import facts, ledger, timing
from waybill_sla.domain.clock import Clock
from waybill_sla.domain.policy import Agreement, Policies, Policy, Rules, Rung
from waybill_sla.domain.targets import Hearing
from waybill_sla.domain.telling import BreachRetracted, TargetBreached, TargetMet, Telling
from waybill_sla.domain.ticket import Ticket
from waybill_sla.domain.words import (
    Level,
    Priority,
    SegmentKind,
    Status,
    TargetKind,
    TargetState,
    Trigger,
)

START = datetime(2026, 1, 5, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
TARGETS = {
    Priority.URGENT: {TargetKind.RESPONSE: HOUR, TargetKind.RESOLUTION: 4 * HOUR},
    Priority.HIGH: {TargetKind.RESPONSE: 2 * HOUR, TargetKind.RESOLUTION: 24 * HOUR},
    Priority.MEDIUM: {TargetKind.RESPONSE: 24 * HOUR, TargetKind.RESOLUTION: 72 * HOUR},
    Priority.LOW: {TargetKind.RESPONSE: 72 * HOUR, TargetKind.RESOLUTION: 168 * HOUR},
}
AGREED = Agreement(
    Policies([Policy(UUID(int=1), 1, "default", TARGETS)]),
    (Rung("resolution_breached", Trigger.BREACHED, Level.TECH_TEAM, TargetKind.RESOLUTION),),
    Rules(),
)

MOVES = {
    Status.PENDING: [Status.IN_PROGRESS, Status.RESOLVED, Status.CLOSED],
    Status.IN_PROGRESS: [Status.PENDING, Status.AWAITING_USER, Status.RESOLVED, Status.CLOSED],
    Status.AWAITING_USER: [Status.IN_PROGRESS, Status.RESOLVED, Status.CLOSED],
    Status.RESOLVED: [Status.IN_PROGRESS, Status.CLOSED],
    Status.CLOSED: [],
}


@dataclass(frozen=True)
class Told:
    """A fact and when it is heard."""

    ticket: Ticket
    at: datetime
    heard_at: datetime


def opening() -> Ticket:
    return Ticket(
        id=uuid4(),
        number="WB-1",
        product="demo",
        type="technical",
        priority=Priority.MEDIUM,
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


def moved(ticket: Ticket, to: Status, at: datetime) -> Ticket:
    changes: dict[str, object] = {
        "status": to,
        "status_since": at,
        "episode": ticket.episode + 1,
        "episode_since": at,
    }
    if to is Status.RESOLVED:
        changes["resolved_at"] = at
    elif ticket.status is Status.RESOLVED and to is not Status.CLOSED:
        changes |= {"resolved_at": None, "reopened_at": at, "reopenings": ticket.reopenings + 1}
    return replace(ticket, sequence=ticket.sequence + 1, **changes)


@st.composite
def histories(draw: st.DrawFn, edits: bool = True) -> list[Told]:
    """A life in up to twelve steps of up to ten hours, each heard up to six hours late."""
    ticket, at = opening(), START
    heard_at = START
    told = [Told(ticket, at, heard_at)]
    for _ in range(draw(st.integers(0, 12))):
        at += timedelta(minutes=draw(st.integers(0, 600)))
        steps = [*MOVES[ticket.status], "reply", "note"]
        if edits:
            steps.append("edit")
        if ticket.status is Status.CLOSED:
            steps = ["note"]
        step = draw(st.sampled_from(steps))
        if isinstance(step, Status):
            ticket = moved(ticket, step, at)
        elif step == "reply":
            ticket = replace(
                ticket,
                first_response_at=ticket.first_response_at or at,
                episode=ticket.episode + 1,
                episode_since=at,
                sequence=ticket.sequence + 1,
            )
        elif step == "edit":
            priority = draw(st.sampled_from(list(Priority)))
            ticket = replace(ticket, priority=priority, sequence=ticket.sequence + 1)
        else:
            ticket = replace(ticket, sequence=ticket.sequence + 1)
        heard_at = max(heard_at, at + timedelta(minutes=draw(st.integers(0, 360))))
        told.append(Told(ticket, at, heard_at))
    return told


def hear(clock: Clock, told: Told, now: datetime) -> tuple[Clock, tuple[Telling, ...]]:
    hearing = Hearing(told.at, str(told.ticket.sequence), now, uuid4)
    outcome = facts.hear_ticket(clock, told.ticket, hearing, AGREED)
    return outcome.clock, outcome.told


def tick(clock: Clock, now: datetime) -> tuple[Clock, tuple[Telling, ...]]:
    """Fire what is due, as the timers would."""
    said: tuple[Telling, ...] = ()
    while True:
        live = timing.due(clock, timing.wanted(clock, AGREED), AGREED, now)
        if not live:
            return clock, said
        for alarm in live:
            assert alarm.due_at <= now
            outcome = timing.fire(clock, alarm, AGREED, now, uuid4())
            clock, said = outcome.clock, said + outcome.told


def live_through(history: list[Told]) -> tuple[Clock, list[Telling]]:
    """As it goes in life: timers fire between the facts, and facts come late."""
    clock, said = Clock(history[0].ticket.id), []
    for told in history:
        if clock.ticket is not None:
            clock, more = tick(clock, told.heard_at)
            said += more
        clock, more = hear(clock, told, told.heard_at)
        said += more
        again, nothing = hear(clock, told, told.heard_at)
        assert (again, nothing) == (clock, ())
    end = history[-1].heard_at + 200 * HOUR
    clock, more = tick(clock, end)
    return clock, [*said, *more]


def worked(history: list[Told], until: datetime) -> timedelta:
    """By brute force from the statuses alone: how long the clock ran."""
    total = timedelta(0)
    for here, following in zip(history, [*history[1:], None], strict=True):
        end = following.at if following is not None else until
        if here.ticket.status in (Status.PENDING, Status.IN_PROGRESS):
            total += max(min(end, until) - here.at, timedelta(0))
    return total


@given(histories())
@settings(max_examples=300, deadline=None)
def test_the_ledger_explains_every_second(history: list[Told]) -> None:
    """Its lines join without a gap, and their sum is what the clock says has elapsed."""
    clock, _ = live_through(history)
    end = history[-1].heard_at + 200 * HOUR
    for line, following in zip(clock.segments, clock.segments[1:], strict=False):
        assert line.ended_at == following.started_at
    lines = [(line, (line.ended_at or end) - line.started_at) for line in clock.segments]
    ran = sum((t for line, t in lines if line.kind is SegmentKind.RUNNING), timedelta(0))
    stood = sum((t for line, t in lines if line.kind is SegmentKind.PAUSED), timedelta(0))
    assert ran == ledger.elapsed(clock.segments, end, clock.calendar) == worked(history, end)
    assert ran + stood == end - START


@given(histories())
@settings(max_examples=300, deadline=None)
def test_lateness_of_news_changes_nothing_in_the_end(history: list[Told]) -> None:
    """Heard late and between timers, or all in time: the same targets, judged the same."""
    late, _ = live_through(history)
    prompt, _ = live_through([replace(told, heard_at=told.at) for told in history])
    end = history[-1].heard_at + 200 * HOUR
    prompt, _ = tick(prompt, end)

    def verdicts(clock: Clock) -> list[object]:
        return [
            (t.kind, t.state, t.allowed, t.due_at, t.stopped_at, t.breached_at)
            for t in clock.targets
        ]

    assert verdicts(late) == verdicts(prompt)
    assert late.segments == prompt.segments


@given(histories(edits=False))
@settings(max_examples=300, deadline=None)
def test_a_verdict_is_what_the_times_say(history: list[Told]) -> None:
    """Met or breached agrees with the time worked until the answer, counted by brute force."""
    clock, _ = live_through(history)
    end = history[-1].heard_at + 200 * HOUR
    for target in clock.targets:
        if target.state is TargetState.MET:
            assert target.stopped_at is not None
            assert worked(history, target.stopped_at) <= target.allowed
        if target.state is TargetState.BREACHED:
            assert worked(history, target.stopped_at or end) >= target.allowed


@given(histories())
@settings(max_examples=300, deadline=None)
def test_each_breach_is_told_once_and_taken_back_at_most_once(history: list[Told]) -> None:
    """A breach is taken back at most once, and told again only after that or a reopening."""
    clock, said = live_through(history)
    reopened = [told.ticket.reopened_at for told in history if told.ticket.reopened_at]
    for target in clock.targets:
        breach: TargetBreached | None = None
        for telling in said:
            if isinstance(telling, TargetBreached) and telling.kind is target.kind:
                assert breach is None or any(breach.at <= at <= telling.at for at in reopened)
                assert telling.at <= telling.detected_at
                breach = telling
            if isinstance(telling, BreachRetracted) and telling.kind is target.kind:
                assert breach is not None
                assert telling.breach_event_id == breach.id
                breach = None
        if target.state is TargetState.BREACHED:
            assert breach is not None
            assert target.breach_event_id == breach.id


@given(histories())
@settings(max_examples=200, deadline=None)
def test_a_closed_clock_is_silent(history: list[Told]) -> None:
    """After the closing nothing is told and nothing is armed."""
    clock, _ = live_through(history)
    if clock.segments[-1].status is Status.CLOSED:
        assert timing.wanted(clock, AGREED) == frozenset()
        again = replace(history[-1].ticket, sequence=history[-1].ticket.sequence + 1)
        end = history[-1].heard_at + 300 * HOUR
        after, said = hear(clock, Told(again, end, end), end)
        assert (after.targets, said) == (clock.targets, ())


def test_what_was_missed_is_read_from_the_tickets_own_times() -> None:
    """A gap: resolved, reopened and asked are known only from one late fact."""
    ticket = opening()
    clock, _ = hear(Clock(ticket.id), Told(ticket, START, START), START)
    solved = moved(replace(ticket, first_response_at=START), Status.RESOLVED, START + 10 * HOUR)
    clock, _ = hear(clock, Told(solved, START + 10 * HOUR, START), START + 10 * HOUR)
    reopened = moved(solved, Status.IN_PROGRESS, START + 15 * HOUR)
    asked = moved(reopened, Status.AWAITING_USER, START + 17 * HOUR)
    clock, _ = hear(clock, Told(asked, START + 17 * HOUR, START), START + 17 * HOUR)
    assert [line.status for line in clock.segments] == [
        Status.PENDING,
        Status.RESOLVED,
        Status.IN_PROGRESS,
        Status.AWAITING_USER,
    ]
    assert ledger.elapsed(clock.segments, START + 99 * HOUR, clock.calendar) == 12 * HOUR


def test_first_heard_of_when_it_is_closed_already_it_still_has_its_whole_life() -> None:
    """A solution on the way to the closing meets the target."""
    ticket = opening()
    closed = moved(moved(ticket, Status.RESOLVED, START + HOUR), Status.CLOSED, START + 9 * HOUR)
    clock, said = hear(Clock(ticket.id), Told(closed, START + 9 * HOUR, START), START + 9 * HOUR)
    assert [line.status for line in clock.segments] == [
        Status.PENDING,
        Status.RESOLVED,
        Status.CLOSED,
    ]
    assert clock.target(TargetKind.RESOLUTION).state is TargetState.MET
    assert clock.target(TargetKind.RESPONSE).state is TargetState.CANCELLED
    assert any(isinstance(telling, TargetMet) for telling in said)


def test_a_merge_that_is_undone_gives_the_targets_back() -> None:
    """The time as a duplicate is a pause; what the closing cancelled runs again."""
    ticket = opening()
    clock, _ = hear(Clock(ticket.id), Told(ticket, START, START), START)
    merged = moved(ticket, Status.CLOSED, START + HOUR)
    clock, _ = hear(clock, Told(merged, START + HOUR, START), START + HOUR)
    back = replace(ticket, sequence=3)
    clock, _ = hear(clock, Told(back, START + 3 * HOUR, START), START + 3 * HOUR)
    response = clock.target(TargetKind.RESPONSE)
    assert response.state is TargetState.RUNNING
    assert response.due_at == START + 26 * HOUR
