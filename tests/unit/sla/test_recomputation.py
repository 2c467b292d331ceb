"""A clock as it is kept, event by event and by its last lines, is the one that all facts give."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from uuid import UUID, uuid4

from hypothesis import given, settings
from hypothesis import strategies as st
from waybill_sla.domain import facts, timing
from waybill_sla.domain.calendar import Plan, WorkingCalendar
from waybill_sla.domain.clock import Clock, Dating, Outcome
from waybill_sla.domain.ledger import NO_TIME, LookedBack, Segment
from waybill_sla.domain.lines import Line, Terms, lines
from waybill_sla.domain.policy import Agreement, Policies, Policy, Rules, Rung
from waybill_sla.domain.targets import Hearing
from waybill_sla.domain.telling import (
    BreachRetracted,
    FollowUpDue,
    TargetAtRisk,
    TargetBreached,
    TargetMet,
    Telling,
    TicketEscalated,
)
from waybill_sla.domain.ticket import Ticket
from waybill_sla.domain.words import (
    ClockState,
    Level,
    Priority,
    SegmentKind,
    Status,
    TargetKind,
    TargetState,
    Trigger,
)

# A Wednesday, three days before the clocks of Europe jump.
START = datetime(2026, 3, 25, 9, tzinfo=UTC)
HOUR = timedelta(hours=1)
MINUTE = timedelta(minutes=1)
SHIFT = ((9 * 3600, 12 * 3600), (13 * 3600, 17 * 3600))
NIGHT = ((0, 3 * 3600), (20 * 3600, 24 * 3600))
AT_HAND = 3
"""Fewer lines than in production, so that looking back is common."""


def targets(hours: int) -> dict[Priority, dict[TargetKind, timedelta]]:
    return {
        priority: {
            TargetKind.RESPONSE: hours * number * HOUR,
            TargetKind.RESOLUTION: 3 * hours * number * HOUR,
            TargetKind.NEXT_RESPONSE: 2 * hours * HOUR,
        }
        | ({TargetKind.UPDATE: 4 * hours * HOUR} if number < 3 else {})
        for number, priority in enumerate(Priority, 1)
    }


POLICIES = Policies(
    [
        Policy(UUID(int=1), 1, "default", targets(2), calendar="office"),
        Policy(UUID(int=2), 1, "orders", targets(3), type="order", calendar="always"),
        Policy(UUID(int=3), 1, "nights", targets(1), product="nights", calendar="nights"),
    ]
)
LADDER = (
    Rung("early", Trigger.AT_RISK, Level.SENIOR_SUPPORT, share=0.6),
    Rung("late", Trigger.BREACHED, Level.TECH_TEAM),
)


@st.composite
def agreements(draw: st.DrawFn) -> list[Agreement]:
    """What is agreed at first, and by two edits of the calendar later."""
    zone = draw(st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Kolkata"]))
    found = []
    for version in range(1, 4):
        week = draw(
            st.lists(st.sampled_from([(), SHIFT, NIGHT]), min_size=7, max_size=7).filter(any)
        )
        off = draw(st.frozensets(st.dates(date(2026, 3, 26), date(2026, 4, 8)), max_size=3))
        office = WorkingCalendar(UUID(int=7), version, Plan(zone, week, off))
        nights = WorkingCalendar(UUID(int=8), 1, Plan("Europe/Lisbon", [NIGHT] * 7))
        calendars = {"office": office, "nights": nights}
        found.append(Agreement(POLICIES, LADDER, Rules(), calendars))
    return found


@dataclass
class Kept:
    """A clock as sla keeps it: its last lines with sums, all lines in a table, armed timers."""

    agreed: Agreement
    clock: Clock
    table: tuple[Segment, ...] = ()
    datings: tuple[Dating, ...] = ()
    armed: frozenset[timing.Alarm] = frozenset()
    said: list[Telling] = field(default_factory=list)

    def hear(self, ticket: Ticket, at: datetime, now: datetime) -> None:
        hearing = Hearing(at, str(ticket.sequence), now, uuid4)
        self._change(lambda clock: facts.hear_ticket(clock, ticket, hearing, self.agreed))

    def redate(self, now: datetime) -> None:
        hearing = Hearing(now, "redating", now, uuid4)
        self._change(lambda clock: facts.redate(clock, hearing, self.agreed))

    def fire(self, now: datetime) -> None:
        """Until nothing more is due: what has fired may arm what is due already."""
        while live := timing.due(self.clock, self.armed, self.agreed, now):
            for alarm in live:
                assert alarm.due_at <= now
                outcome = timing.fire(self.clock, alarm, self.agreed, now, uuid4())
                self.clock = outcome.clock
                self.said += outcome.told
            self._keep(self.clock)

    def whole(self) -> Clock:
        return self.clock.whole(self.table[: self.clock.earlier.lines])

    def _change(self, judge: Callable[[Clock], Outcome]) -> None:
        try:
            outcome = judge(self.clock)
        except LookedBack:
            outcome = judge(self.whole())
        self.said += outcome.told
        self._keep(outcome.clock)

    def _keep(self, clock: Clock) -> None:
        self.table = (*self.table[: clock.earlier.lines], *clock.segments)
        self.datings += clock.datings
        self.armed = timing.wanted(clock, self.agreed)
        self.clock = replace(clock.folded(AT_HAND), datings=(), past=())

    def shown(self, now: datetime) -> list[Line]:
        terms = [Terms(dating, "policy", "calendar") for dating in self.datings]
        return list(lines(self.clock, enumerate(self.table), terms, now))


def opened() -> Ticket:
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


MOVES = {
    Status.PENDING: [Status.IN_PROGRESS, Status.RESOLVED],
    Status.IN_PROGRESS: [Status.PENDING, Status.AWAITING_USER, Status.RESOLVED],
    Status.AWAITING_USER: [Status.IN_PROGRESS, Status.RESOLVED],
    Status.RESOLVED: [Status.IN_PROGRESS],
}


def moved(ticket: Ticket, to: Status, at: datetime) -> Ticket:
    changes: dict[str, object] = {"status": to, "status_since": at, "episode_since": at}
    if to is Status.RESOLVED:
        changes["resolved_at"] = at
    elif ticket.status is Status.RESOLVED and to is not Status.CLOSED:
        changes |= {"resolved_at": None, "reopened_at": at, "reopenings": ticket.reopenings + 1}
    return replace(ticket, episode=ticket.episode + 1, **changes)


@dataclass(frozen=True)
class Step:
    """A fact and when it happened and is heard; or, without a ticket, an edit of the calendar.

    `fires` says whether timers have their turn before it, `again` whether it comes twice.
    """

    ticket: Ticket | None
    at: datetime
    heard_at: datetime
    fires: bool = True
    again: bool = False
    redated: bool = True


@st.composite
def histories(draw: st.DrawFn, *, edits: bool) -> list[Step]:
    """Up to twenty steps of up to a weekend, heard up to a day late, timers firing or not.

    No edit comes between a fact and its hearing: a fact is judged by what is agreed when it is
    heard. With edits there are no changes of priority, which count by what is agreed then, too.
    """
    ticket, at, merged = opened(), START, None
    told = [Step(ticket, at, at)]
    for _ in range(draw(st.integers(0, 20))):
        at += draw(st.sampled_from([0, 1, 17, 60, 200, 480, 1440, 3600])) * MINUTE
        late = draw(st.sampled_from([0, 0, 1, 45, 300, 1500])) * MINUTE
        choices: list[object] = [*MOVES.get(ticket.status, []), "agent", "asks", "note", "close"]
        choices += ["calendar"] if edits else ["priority", "type", "product"]
        if ticket.status is Status.CLOSED:
            choices = ["note", "undo"] if merged else ["note"]
        step = draw(st.sampled_from(choices))
        if step == "calendar":
            at = max(at, told[-1].heard_at)
            told.append(Step(None, at, at, draw(st.booleans()), redated=draw(st.booleans())))
            continue
        if isinstance(step, Status):
            ticket = moved(ticket, step, at)
        elif step == "agent":
            first = ticket.first_response_at or at
            ticket = replace(
                ticket, first_response_at=first, last_public_at=at, last_public_by="agent"
            )
        elif step == "asks":
            ticket = replace(ticket, last_public_at=at, last_public_by="submitter")
        elif step == "close":
            merged = ticket if draw(st.booleans()) else None
            ticket = moved(ticket, Status.CLOSED, at)
        elif step == "undo" and merged is not None:
            ticket = replace(merged, sequence=ticket.sequence, episode=ticket.episode)
        elif step == "priority":
            ticket = replace(ticket, priority=draw(st.sampled_from(list(Priority))))
        elif step == "type":
            ticket = replace(ticket, type=draw(st.sampled_from(["order", "technical"])))
        elif step == "product":
            ticket = replace(ticket, product=draw(st.sampled_from(["demo", "nights"])))
        ticket = replace(ticket, sequence=ticket.sequence + 1)
        heard_at = max(told[-1].heard_at, at + late)
        told.append(Step(ticket, at, heard_at, draw(st.booleans()), draw(st.booleans())))
    return told


def lived(history: list[Step], agreed: list[Agreement]) -> Kept:
    """As it goes in life: late, twice, out of order, with timers between, by the last lines."""
    kept, edits = Kept(agreed[0], Clock(opened().id)), 0
    for number, step in enumerate(history):
        if step.fires:
            kept.fire(step.heard_at)
        if step.ticket is None:
            edits = min(edits + 1, len(agreed) - 1)
            kept.agreed = agreed[edits]
            if step.redated:
                kept.redate(step.at)
            continue
        closed = kept.clock.segments and kept.clock.state is ClockState.STOPPED
        before = len(kept.said)
        kept.hear(step.ticket, step.at, step.heard_at)
        if closed and step.ticket.status is Status.CLOSED:
            assert kept.said[before:] == []
            assert kept.armed == frozenset()
        if step.again:
            before = len(kept.said)
            kept.hear(step.ticket, step.at, step.heard_at)
            older = history[number // 2].ticket or step.ticket
            kept.hear(older, step.at, step.heard_at)
            assert kept.said[before:] == []
    kept.redate(ended(history))
    kept.fire(ended(history))
    return kept


def recomputed(history: list[Step], agreed: list[Agreement]) -> Kept:
    """From all the facts, each at its own time, with the whole ledger, and no timer before the end.

    Where a calendar was edited, the clock is dated anew when it was in life.
    """
    kept, edits = Kept(agreed[0], Clock(opened().id)), 0
    pending: Agreement | None = None
    for step in history:
        if step.ticket is None:
            edits = min(edits + 1, len(agreed) - 1)
            pending = agreed[edits]
            if step.redated:
                kept.agreed, pending = pending, None
                kept.redate(step.at)
            continue
        kept.clock = kept.whole() if kept.table else kept.clock
        kept.hear(step.ticket, step.at, step.at)
        if pending is not None:
            kept.agreed, pending = pending, None
            kept.redate(step.heard_at)
    kept.agreed = pending or kept.agreed
    kept.redate(ended(history))
    kept.fire(ended(history))
    return kept


def ended(history: list[Step]) -> datetime:
    return history[-1].heard_at + 30 * 24 * HOUR


WARNED = (TargetState.RUNNING, TargetState.AT_RISK)


def verdicts(kept: Kept) -> list[object]:
    """Of the targets all but who was told of them, and how it was warned of what stands still."""
    return [
        replace(
            target,
            breach_event_id=None,
            warned_share=target.warned_share if target.state in WARNED else 0.0,
            ran=NO_TIME,
            stood=NO_TIME,
        )
        for target in kept.clock.targets
    ]


HISTORIES = st.one_of(histories(edits=False), histories(edits=True))


@given(HISTORIES, agreements())
@settings(max_examples=200, deadline=None)
def test_any_history_gives_the_clock_that_all_facts_give(
    history: list[Step], agreed: list[Agreement]
) -> None:
    """The same lines, targets, verdicts, dates and timers; and the same sums at any time."""
    kept, other = lived(history, agreed), recomputed(history, agreed)
    assert kept.table == other.table
    assert verdicts(kept) == verdicts(other)
    assert {replace(alarm, stamp=0) for alarm in kept.armed} == {
        replace(alarm, stamp=0) for alarm in other.armed
    }
    whole = kept.whole()
    for target in kept.clock.targets:
        for now in (kept.clock.segments[-1].started_at, ended(history)):
            assert kept.clock.elapsed(target, now) == whole.elapsed(target, now)
        assert kept.clock.paused(target) == whole.paused(target)
    for name in ("state", "started_at", "paused_since", "stood_still", "resolved_first_at"):
        assert getattr(kept.clock, name) == getattr(whole, name)


@given(HISTORIES, agreements(), st.integers(0, 20_000))
@settings(max_examples=150, deadline=None)
def test_the_ledger_explains_every_second(
    history: list[Step], agreed: list[Agreement], minutes: int
) -> None:
    """Its lines join without a gap; what they count for a target is what has elapsed of it."""
    kept = lived(history, agreed)
    now = max(step.heard_at for step in history) + minutes * MINUTE
    shown = kept.shown(now)
    assert shown[0].started_at == START
    for line, following in pairwise(shown):
        assert line.ended_at == following.started_at
    assert shown[-1].ended_at is None
    for target in kept.clock.targets:
        counted = sum((line.counts.get(target.kind, NO_TIME) for line in shown), NO_TIME)
        assert counted == kept.clock.elapsed(target, now)
    for line in shown:
        assert line.terms is not None
        if line.kind is SegmentKind.OUTSIDE_HOURS:
            assert line.working_time == NO_TIME
        if line.kind is SegmentKind.RUNNING:
            assert line.working_time == (line.ended_at or now) - line.started_at
    for dating in kept.datings:
        over = shown[-1].status is Status.CLOSED
        assert over or dating.at > now or any(line.started_at == dating.at for line in shown)


@given(HISTORIES, agreements())
@settings(max_examples=150, deadline=None)
def test_what_is_told_is_told_once_a_cause(history: list[Step], agreed: list[Agreement]) -> None:
    """A breach once a target, round and reopening; taken back at most once; never too early."""
    kept = lived(history, agreed)
    reopened = [step.ticket.reopened_at for step in history if step.ticket]
    for kind in TargetKind:
        breach: TargetBreached | None = None
        for telling in kept.said:
            if getattr(telling, "kind", None) is not kind:
                continue
            match telling:
                case TargetBreached():
                    again = breach is not None and telling.at > breach.at
                    assert breach is None or telling.at in reopened or again
                    assert telling.at <= telling.detected_at
                    breach = telling
                case BreachRetracted():
                    assert breach is not None
                    assert breach.id == telling.breach_event_id
                    breach = None
                case TargetMet():
                    assert not telling.late or breach is not None
        target = next((one for one in kept.clock.targets if one.kind is kind), None)
        if target is not None and target.state is TargetState.BREACHED:
            assert breach is not None
            assert breach.id == target.breach_event_id
    rungs = [one for one in kept.said if isinstance(one, TicketEscalated)]
    fallen = sum(after.level <= before.level for before, after in pairwise(rungs))
    assert fallen <= len({at for at in reopened if at})
    episodes = [(one.kind, one.episode) for one in kept.said if isinstance(one, FollowUpDue)]
    assert len(episodes) == len(set(episodes))


@given(histories(edits=False), agreements())
@settings(max_examples=150, deadline=None)
def test_a_share_is_told_once_a_cause(history: list[Step], agreed: list[Agreement]) -> None:
    """In their order, until the target begins anew, is reopened, or gets more time than it had."""
    if any(step.ticket and step.ticket.priority is not Priority.MEDIUM for step in history):
        return
    prompt = [replace(step, heard_at=step.at, fires=True) for step in history if step.ticket]
    kept = lived(prompt, agreed)
    for kind in (TargetKind.RESPONSE, TargetKind.RESOLUTION):
        share, causes = 0.0, 0
        for telling in kept.said:
            if isinstance(telling, TargetAtRisk) and telling.kind is kind:
                causes += telling.share <= share
                share = telling.share
        reopenings = prompt[-1].ticket.reopenings if prompt[-1].ticket else 0
        chosen = {(step.ticket.type, step.ticket.product) for step in prompt if step.ticket}
        assert causes <= (reopenings if kind is TargetKind.RESOLUTION else 0) or len(chosen) > 1
