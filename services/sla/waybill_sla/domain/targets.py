"""What becomes of a clock's targets, judged from its ledger by when things happened."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from waybill_sla.domain import rounds
from waybill_sla.domain.clock import Clock, Target
from waybill_sla.domain.ledger import NO_TIME, Calendar, LookedBack
from waybill_sla.domain.policy import Agreement, Rules
from waybill_sla.domain.telling import (
    BreachRetracted,
    TargetAtRisk,
    TargetBreached,
    TargetMet,
    Telling,
)
from waybill_sla.domain.ticket import Ticket
from waybill_sla.domain.words import ClockState, Status, TargetKind, TargetState


@dataclass(frozen=True, slots=True)
class Hearing:
    """The circumstances of a fact: when it happened, which event told it, what time it is now."""

    at: datetime
    event_id: str
    now: datetime
    new_id: Callable[[], UUID]


@dataclass(frozen=True, slots=True)
class Judging:
    """By what targets are judged: how much time each has, where warnings are given, and when."""

    allowed: Mapping[TargetKind, timedelta]
    shares: Mapping[TargetKind, tuple[float, ...]]
    rules: Rules
    hearing: Hearing

    @property
    def now(self) -> datetime:
        """What time it is."""
        return self.hearing.now


def judging(clock: Clock, agreed: Agreement, hearing: Hearing) -> Judging:
    """As the policy that a clock has says."""
    policy = agreed.policies.of(clock.policy_id, clock.policy_version)
    assert policy is not None
    assert clock.ticket is not None
    allowed = policy.allowed(clock.ticket.priority)
    shares = {kind: agreed.shares(clock, kind) for kind in TargetKind}
    return Judging(allowed, shares, agreed.rules, hearing)


Step = tuple[Target, Target]
"""A target before and after."""


def steps(
    had: tuple[Target, ...], clock: Clock, by: Judging, *, recomputed: bool = False
) -> list[Step]:
    """What becomes of each target; of one that begins anew, first how it ended.

    `recomputed`: by another priority, type or policy, which counts from the original start.
    """
    assert clock.ticket is not None
    ticket, found = clock.ticket, list[Step]()
    known = {target.kind: target for target in had}
    for kind in TargetKind:
        old, time = known.get(kind), by.allowed.get(kind)
        if time is None:
            if old is not None:
                found.append((old, _given_up(old, clock, by)))
            continue
        if old is None and not had and kind in (TargetKind.RESPONSE, TargetKind.RESOLUTION):
            due = ticket.created_at + time
            old = Target(kind, TargetState.RUNNING, time, due, calendar=clock.calendar)
        if old is not None:
            old = _reopened(old, ticket)
            found.append((old, judged(old, clock, time, by, recomputed=recomputed)))
        since = rounds.begins(kind, old, clock)
        if since is not None:
            if not clock.at_hand(since):
                raise LookedBack
            number = old.round + 1 if old is not None else 1
            new = Target(
                kind,
                TargetState.RUNNING,
                time,
                since + time,
                calendar=clock.calendar,
                started_at=since,
                round=number,
            )
            found.append((new, judged(new, clock, time, by)))
    return found


def _reopened(target: Target, ticket: Ticket) -> Target:
    """A solution was none: what was told of it before its reopening is told anew after it."""
    if target.kind is not TargetKind.RESOLUTION or target.reopening >= ticket.reopenings:
        return target
    return replace(
        target,
        state=TargetState.RUNNING,
        breached_at=None,
        breach_event_id=None,
        warned_share=0.0,
        reopening=ticket.reopenings,
    )


def _given_up(target: Target, clock: Clock, by: Judging) -> Target:
    """A target that the policy does not set any more; what was overdue by then was breached."""
    at = by.hearing.at
    if target.ended_at is not None:
        return target
    if clock.state is ClockState.RUNNING:
        late = target.due_at <= at
    else:
        late = clock.certain(target) > target.allowed
    if late:
        return _breached(target, clock, by)
    return replace(
        target,
        state=TargetState.CANCELLED,
        stopped_at=at,
        breached_at=None,
        breach_event_id=None,
    )


Ends = tuple[datetime | None, datetime | None]
"""When a target was reached, and when it ceased to apply; at most one of them."""


def _ends(target: Target, clock: Clock) -> Ends:
    assert clock.ticket is not None
    ticket, segments, last = clock.ticket, clock.segments, clock.segments[-1]
    if target.round:
        return rounds.ends(target, clock)
    if target.kind is TargetKind.RESOLUTION:
        solved = segments[-2] if last.status is Status.CLOSED and len(segments) > 1 else last
        if solved.status is Status.RESOLVED:
            return _run_began(clock, solved.started_at), None
        return None, last.started_at if last.status is Status.CLOSED else None
    dropped = clock.resolved_first_at
    if dropped is None and last.status is Status.CLOSED:
        dropped = last.started_at
    first = ticket.first_response_at
    if first is not None and (dropped is None or first <= dropped):
        return first, None
    return None, dropped


def _ended(target: Target) -> Ends:
    """How it ended, as it was last judged; a target that was given up may go on."""
    if target.state is TargetState.CANCELLED:
        return None, target.dropped_at
    return target.stopped_at, target.dropped_at


def _run_began(clock: Clock, since: datetime) -> datetime:
    """When the run of `resolved` that goes on at `since` began."""
    for part in reversed([part for part in clock.segments if part.started_at <= since]):
        if part.status is Status.RESOLVED:
            since = part.started_at
        elif part.status is not Status.CLOSED:
            return since
    if clock.earlier.lines:
        raise LookedBack
    return since


def judged(
    target: Target, clock: Clock, allowed: timedelta, by: Judging, *, recomputed: bool = False
) -> Target:
    """The target as the ledger has it now. A deadline that may just have passed is the timer's."""
    reached, dropped = _ends(target, clock)
    end = reached or dropped
    if end is not None and (reached, dropped) == _ended(target):
        return target
    if target.ended_at is not None and not clock.at_hand(target.ended_at):
        raise LookedBack
    if end is not None:
        calendar = clock.calendar if target.open else target.calendar
        return _over(_dated_by(calendar, target, clock), clock, by, reached, dropped)
    if target.breached_at is not None and not recomputed:
        # A verdict stands by what it was given by; what is not breached after all does not.
        stands = _running(target, clock, target.allowed, by)
        if stands.breached_at is not None:
            return stands
        target = stands
    return _running(_dated_by(clock.calendar, target, clock), clock, allowed, by)


def _dated_by(calendar: Calendar, target: Target, clock: Clock) -> Target:
    """The target by a calendar. What the lines before those at hand come to hangs on it."""
    if calendar != target.calendar and clock.earlier.lines:
        raise LookedBack
    return replace(target, calendar=calendar)


def _running(target: Target, clock: Clock, allowed: timedelta, by: Judging) -> Target:
    due = _due(target, clock) if target.allowed == allowed else None
    target = replace(target, allowed=allowed, stopped_at=None, dropped_at=None)
    target = replace(target, due_at=due or clock.deadline(target))
    running = clock.state is ClockState.RUNNING
    breached = target.breached_at is not None and running and target.due_at <= by.now
    if breached or clock.certain(target) > allowed:
        return _breached(target, clock, by)
    # What was warned of stays warned of, unless the time for it has not come after all.
    used = clock.used(target, by.now)
    warned = max(
        (
            share
            for share in (target.warned_share, *by.shares[target.kind])
            if share <= target.warned_share and allowed * share <= used
        ),
        default=0.0,
    )
    return replace(
        target,
        state=open_state(clock, warned, by.rules),
        breached_at=None,
        breach_event_id=None,
        warned_share=warned,
    )


def _over(
    target: Target,
    clock: Clock,
    by: Judging,
    reached: datetime | None,
    dropped: datetime | None,
) -> Target:
    end = reached or dropped
    assert end is not None
    due = _due(target, clock, end)
    target = replace(target, stopped_at=reached, dropped_at=dropped, due_at=due)
    if clock.used(target, end) > target.allowed:
        return _breached(target, clock, by)
    state = TargetState.MET if reached is not None else TargetState.CANCELLED
    return replace(target, state=state, stopped_at=end, breached_at=None, breach_event_id=None)


def _due(target: Target, clock: Clock, end: datetime | None = None) -> datetime:
    """When it is due; what was due before the lines at hand stays so."""
    if clock.ran(target) > target.allowed:
        return target.due_at
    return clock.deadline(target, end)


def open_state(clock: Clock, warned: float, rules: Rules) -> TargetState:
    """How a target stands that is neither reached nor overdue."""
    if clock.state is not ClockState.RUNNING:
        return TargetState.PAUSED
    return TargetState.AT_RISK if warned >= rules.at_risk_share else TargetState.RUNNING


def breach_time(target: Target, clock: Clock) -> datetime:
    """When it was breached: when it was due, but not before the reopening that it is told for."""
    again = clock.reopened_at(target)
    return target.due_at if again is None else max(target.due_at, again)


def overdue(target: Target, clock: Clock, by: Judging) -> Target:
    """The target, breached if its time is up: what is agreed from now on does not save it."""
    running = clock.state is ClockState.RUNNING
    if target.open and running and target.due_at <= by.now:
        return _breached(target, clock, by)
    return target


def _breached(target: Target, clock: Clock, by: Judging) -> Target:
    return replace(
        target,
        warned_share=max(by.shares[target.kind], default=0.0),
        state=TargetState.BREACHED,
        breached_at=breach_time(target, clock),
        breach_event_id=target.breach_event_id or by.hearing.new_id(),
    )


def changes(old: Target, new: Target, clock: Clock, hearing: Hearing) -> tuple[Telling, ...]:
    """What is to be told of it."""
    told: list[Telling] = []
    if old.breached_at is not None and old.breach_event_id and new.breached_at is None:
        met_at = new.stopped_at if new.state is TargetState.MET else None
        told.append(
            BreachRetracted(hearing.at, new.kind, old.breached_at, met_at, old.breach_event_id)
        )
    if old.breached_at is None and new.breached_at is not None and new.breach_event_id:
        # Whoever notices first, the highest share that was passed is told before the breach.
        # What was used up before a reopening needs no more warning.
        if new.warned_share > old.warned_share and new.breached_at == new.due_at:
            told.append(_passed(new, clock, hearing))
        # Whoever told of what proves it may have a clock that is a little ahead of ours.
        detected = max(hearing.now, new.breached_at)
        told.append(TargetBreached(new.breached_at, new.breach_event_id, new.kind, detected))
    reached = new.stopped_at is not None and new.state is not TargetState.CANCELLED
    if reached and new.stopped_at is not None and new.stopped_at != old.stopped_at:
        told.append(
            TargetMet(
                new.stopped_at,
                new.kind,
                new.due_at,
                max(clock.elapsed(new, hearing.now), NO_TIME),
                late=new.state is TargetState.BREACHED,
            )
        )
    return tuple(told)


def _passed(target: Target, clock: Clock, hearing: Hearing) -> TargetAtRisk:
    """That the share which the target was last warned of was used up before it was breached."""
    passed = clock.passes(target, target.warned_share)
    left = clock.remaining(target, hearing.now)
    return TargetAtRisk(passed, target.kind, target.warned_share, target.due_at, left)
