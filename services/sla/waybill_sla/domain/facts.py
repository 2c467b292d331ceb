"""What a fact about a ticket does to its clock. Facts are judged by when they happened."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from waybill_sla.domain import ladder, ledger, rounds
from waybill_sla.domain.clock import Clock, Outcome, Target
from waybill_sla.domain.ledger import NO_TIME, Calendar, Ledger
from waybill_sla.domain.policy import Agreement, Rules
from waybill_sla.domain.telling import (
    BreachRetracted,
    ClockPaused,
    ClockResumed,
    ClockStarted,
    StartReason,
    TargetAtRisk,
    TargetBreached,
    TargetMet,
    Telling,
)
from waybill_sla.domain.ticket import Repetition, Ticket, Wait
from waybill_sla.domain.words import ClockState, Level, SegmentKind, Status, TargetKind, TargetState


@dataclass(frozen=True, slots=True)
class Hearing:
    """The circumstances of a fact: when it happened, which event told it, what time it is now."""

    at: datetime
    event_id: str
    now: datetime
    new_id: Callable[[], UUID]


def hear_ticket(
    clock: Clock, ticket: Ticket, hearing: Hearing, agreed: Agreement, *, again: bool = False
) -> Outcome:
    """What intake said of the ticket. Stale news changes nothing.

    `again` also takes what bears the number that was heard last, as a comparison does.
    """
    known = clock.ticket
    if clock.erased:
        ticket = replace(ticket, submitter_email="")
    if known is not None and ticket.sequence < known.sequence + (0 if again else 1):
        return Outcome(clock)
    if known is None:
        before = replace(clock, segments=ledger.begun(ticket, hearing.event_id))
    else:
        before = clock
    policy = agreed.policies.choose(ticket, _pinned(clock), known)
    after = replace(
        before,
        ticket=ticket,
        segments=ledger.continued(before.segments, ticket, hearing.at, hearing.event_id),
        policy_id=policy.id,
        policy_version=policy.version,
        calendar=agreed.calendar(policy),
    )
    if known is not None and known.episode != ticket.episode:
        after = replace(after, followed_up=frozenset())
    if known is not None and _reopened(known, ticket):
        after = replace(after, level=Level.NONE)
    if known is not None and before.state is after.state is ClockState.STOPPED:
        return Outcome(replace(clock, ticket=ticket))
    allowed = policy.allowed(ticket.priority)
    steps = _steps(before.targets, after, allowed, agreed.rules, hearing)
    latest = {new.kind: new for _, new in steps}
    judged = tuple(latest[kind] for kind in TargetKind if kind in latest)
    after = replace(after, targets=judged, fired=_still_told(before, after.fired, judged))
    moved = _dates(before.targets) != _dates(judged)
    if known is None or moved or before.state is not after.state:
        after = replace(after, dated=clock.dated + 1)
    told = (
        *_starting(before, after, hearing),
        *_turning(before, after),
        *(telling for old, new in steps for telling in _changes(old, new, after, hearing)),
    )
    return ladder.climb(
        _stamped(after, told, hearing.now), told, agreed.ladder_of(after), hearing.now
    )


def redate(clock: Clock, hearing: Hearing, agreed: Agreement, *, anew: bool = False) -> Outcome:
    """The clock by its calendar as that stands now, and with `anew` by another policy too.

    What was met, breached or cancelled stays so; what is dated so already tells nothing.
    """
    ticket = clock.ticket
    if ticket is None or clock.state is ClockState.STOPPED:
        return Outcome(clock)
    policy = agreed.policies.choose(ticket, None if anew else _pinned(clock), ticket)
    after = replace(
        clock,
        policy_id=policy.id,
        policy_version=policy.version,
        calendar=agreed.calendar(policy),
    )
    allowed = policy.allowed(ticket.priority)
    targets = tuple(
        _judged(target, after, allowed[target.kind], agreed.rules, hearing)
        if target.open and target.kind in allowed
        else target
        for target in clock.targets
    )
    after = replace(after, targets=targets)
    moved = any(
        (old.due_at, old.state) != (new.due_at, new.state)
        for old, new in zip(clock.targets, targets, strict=True)
    )
    if not moved and _pinned(clock) == _pinned(after):
        return Outcome(after)
    after = replace(after, dated=clock.dated + 1)
    told = (
        ClockStarted(hearing.at, StartReason.REDATED),
        *(
            telling
            for old, new in zip(clock.targets, targets, strict=True)
            for telling in _changes(old, new, after, hearing)
        ),
    )
    return ladder.climb(
        _stamped(after, told, hearing.now), told, agreed.ladder_of(after), hearing.now
    )


def hear_wait(clock: Clock, wait: Wait) -> Outcome:
    """What routing said about who has the ticket. It tells nothing, but moves a timer."""
    if clock.wait is not None and wait.sequence < clock.wait.sequence:
        return Outcome(clock)
    return Outcome(replace(clock, wait=wait))


def hear_repetition(
    clock: Clock, repetition: Repetition, agreed: Agreement, now: datetime
) -> Outcome:
    """What kb said about the same issue coming again."""
    if clock.repetition is not None and repetition.count <= clock.repetition.count:
        return Outcome(clock)
    clock = replace(clock, repetition=repetition)
    return ladder.climb(clock, (), agreed.ladder_of(clock), now) if clock.ticket else Outcome(clock)


def forget_person(clock: Clock, submitter_id: str) -> Outcome:
    """The person's address is erased, and never kept again."""
    ticket = clock.ticket
    if ticket is not None and ticket.submitter_id != submitter_id:
        return Outcome(clock)
    forgotten = replace(ticket, submitter_email="") if ticket else None
    return Outcome(replace(clock, ticket=forgotten, erased=True))


def _pinned(clock: Clock) -> tuple[UUID, int] | None:
    return None if clock.policy_id is None else (clock.policy_id, clock.policy_version)


def _reopened(known: Ticket, ticket: Ticket) -> bool:
    return ticket.reopenings > known.reopenings


def _stamped(clock: Clock, told: tuple[Telling, ...], now: datetime) -> Clock:
    """The next version, if there is anything to tell."""
    return replace(clock, version=clock.version + 1, updated_at=now) if told else clock


_Step = tuple[Target, Target]
"""A target before and after."""


def _steps(
    had: tuple[Target, ...],
    clock: Clock,
    allowed: Mapping[TargetKind, timedelta],
    rules: Rules,
    hearing: Hearing,
) -> list[_Step]:
    """What becomes of each target; of one that begins anew, first how it ended."""
    assert clock.ticket is not None
    ticket, steps = clock.ticket, list[_Step]()
    known = {target.kind: target for target in had}
    for kind in TargetKind:
        old, time = known.get(kind), allowed.get(kind)
        if time is None:
            if old is not None:
                steps.append((old, _given_up(old, hearing)))
            continue
        if old is None and not had and kind in (TargetKind.RESPONSE, TargetKind.RESOLUTION):
            old = Target(kind, TargetState.RUNNING, time, ticket.created_at + time)
        if old is not None:
            steps.append((old, _judged(old, clock, time, rules, hearing)))
        since = rounds.begins(kind, old, clock)
        if since is not None:
            number = old.round + 1 if old is not None else 1
            new = Target(
                kind, TargetState.RUNNING, time, since + time, started_at=since, round=number
            )
            steps.append((new, _judged(new, clock, time, rules, hearing)))
    return steps


def _given_up(target: Target, hearing: Hearing) -> Target:
    """A target that the policy does not set any more."""
    if not target.open:
        return target
    return replace(target, state=TargetState.CANCELLED, stopped_at=hearing.at)


def _dates(targets: tuple[Target, ...]) -> dict[TargetKind, tuple[int, datetime]]:
    return {target.kind: (target.round, target.due_at) for target in targets}


def _still_told(before: Clock, fired: frozenset[str], judged: tuple[Target, ...]) -> frozenset[str]:
    """The rungs that have fired, those for questions that are past excepted."""
    rounds_before = {target.kind: target.round for target in before.targets}
    past = {
        f":{target.kind}:"
        for target in judged
        if target.round > rounds_before.get(target.kind, target.round)
    }
    return frozenset(cause for cause in fired if not any(kind in cause for kind in past))


def _ends(
    target: Target, segments: Ledger, ticket: Ticket
) -> tuple[datetime | None, datetime | None]:
    """When the target was reached, and when it ceased to apply; at most one of them."""
    kind, last = target.kind, segments[-1]
    if target.round:
        return rounds.ends(target, segments, ticket)
    if kind is TargetKind.RESOLUTION:
        solved = segments[-2] if last.status is Status.CLOSED and len(segments) > 1 else last
        if solved.status is Status.RESOLVED:
            return _run_began(segments, solved.started_at), None
        return None, last.started_at if last.status is Status.CLOSED else None
    dropped = next((part.started_at for part in segments if part.status is Status.RESOLVED), None)
    if dropped is None and last.status is Status.CLOSED:
        dropped = last.started_at
    first = ticket.first_response_at
    if first is not None and (dropped is None or first <= dropped):
        return first, None
    return None, dropped


def _run_began(segments: Ledger, since: datetime) -> datetime:
    """When the run of `resolved` that goes on at `since` began."""
    for part in reversed([part for part in segments if part.started_at <= since]):
        if part.status is Status.RESOLVED:
            since = part.started_at
        elif part.status is not Status.CLOSED:
            break
    return since


def _judged(
    target: Target, clock: Clock, allowed: timedelta, rules: Rules, hearing: Hearing
) -> Target:
    """The target as the ledger has it now. A deadline that may just have passed is the timer's."""
    assert clock.ticket is not None
    reached, dropped = _ends(target, clock.segments, clock.ticket)
    end = reached or dropped
    calendar = _judging(target, clock, over=end is not None)
    target = replace(target, calendar=calendar)
    before = clock.head_start(target)
    if end is not None:
        target = replace(
            target,
            stopped_at=reached,
            due_at=_due(target, ledger.until(clock.segments, end), before + target.allowed),
        )
        if ledger.elapsed(clock.segments, end, calendar) > before + target.allowed:
            return _breached(target, rules, hearing)
        state = TargetState.MET if reached is not None else TargetState.CANCELLED
        return replace(target, state=state, stopped_at=end, breached_at=None, breach_event_id=None)
    due = _due(target, clock.segments, before + allowed)
    target = replace(target, allowed=allowed, due_at=due, stopped_at=None)
    used = ledger.elapsed(clock.segments, hearing.now, calendar)
    if ledger.certain(clock.segments, calendar) > before + allowed or (
        target.breached_at is not None and clock.state is ClockState.RUNNING and due <= hearing.now
    ):
        return _breached(target, rules, hearing)
    # What was warned of stays warned of, unless the time for it has not come after all.
    warned = max(
        (
            share
            for share in rules.shares
            if share <= target.warned_share and before + allowed * share <= used
        ),
        default=0.0,
    )
    return replace(
        target,
        state=open_state(clock, warned, rules),
        breached_at=None,
        breach_event_id=None,
        warned_share=warned,
    )


def _judging(target: Target, clock: Clock, *, over: bool) -> Calendar:
    """What is open goes by the clock's calendar; a verdict stands by the one it was given by."""
    if target.open or (target.breached_at is None and not over):
        return clock.calendar
    same = target.calendar.id == clock.calendar.id
    return target.calendar if over or same else clock.calendar


def _due(target: Target, segments: Ledger, budget: timedelta) -> datetime:
    """When a target is due; what began in a pause as if the clock ran from there."""
    since, paused = target.started_at, ledger.pause_began(segments)
    if since is not None and paused is not None and paused <= since:
        used = ledger.elapsed(segments, since, target.calendar)
        return target.calendar.after(since, budget - used)
    return ledger.deadline(segments, budget, target.calendar)


def open_state(clock: Clock, warned: float, rules: Rules) -> TargetState:
    """How a target stands that is neither reached nor overdue."""
    if clock.state is not ClockState.RUNNING:
        return TargetState.PAUSED
    return TargetState.AT_RISK if warned >= rules.at_risk_share else TargetState.RUNNING


def _breached(target: Target, rules: Rules, hearing: Hearing) -> Target:
    return replace(
        target,
        warned_share=max(rules.shares, default=0.0),
        state=TargetState.BREACHED,
        breached_at=target.due_at,
        breach_event_id=target.breach_event_id or hearing.new_id(),
    )


def _starting(before: Clock, after: Clock, hearing: Hearing) -> tuple[Telling, ...]:
    """That the clock started, or that its deadlines were set by another priority or policy."""
    known, ticket = before.ticket, after.ticket
    if known is None or ticket is None:
        return (ClockStarted(after.started_at, StartReason.OPENED),)
    same = (known.priority, known.type, _pinned(before)) == (
        ticket.priority,
        ticket.type,
        _pinned(after),
    )
    if same or after.state is ClockState.STOPPED:
        return ()
    return (ClockStarted(hearing.at, StartReason.RECOMPUTED),)


def _turning(before: Clock, after: Clock) -> tuple[Telling, ...]:
    """That the clock stands still, for another reason than before, or that it runs again."""
    old, new = before.segments[-1], after.segments[-1]
    if after.state is not ClockState.RUNNING:
        return (ClockPaused(new.started_at, new.status),) if new.status is not old.status else ()
    since = before.paused_since
    if since is None:
        return ()
    resumed = next(
        part.started_at
        for part in after.segments[len(before.segments) - 1 :]
        if part.kind is SegmentKind.RUNNING
    )
    return (ClockResumed(resumed, resumed - since),)


def _changes(old: Target, new: Target, clock: Clock, hearing: Hearing) -> tuple[Telling, ...]:
    told: list[Telling] = []
    if old.breached_at is not None and old.breach_event_id and new.breached_at is None:
        met_at = new.stopped_at if new.state is TargetState.MET else None
        told.append(
            BreachRetracted(hearing.at, new.kind, old.breached_at, met_at, old.breach_event_id)
        )
    if old.breached_at is None and new.breached_at is not None and new.breach_event_id:
        # Whoever notices first, the highest share that was passed is told before the breach.
        if new.warned_share > old.warned_share:
            told.append(_passed(new, clock, hearing))
        told.append(TargetBreached(new.breached_at, new.breach_event_id, new.kind, hearing.now))
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
    passed = ledger.deadline(
        ledger.until(clock.segments, target.due_at),
        clock.head_start(target) + target.allowed * target.warned_share,
        target.calendar,
    )
    left = clock.remaining(target, hearing.now)
    return TargetAtRisk(passed, target.kind, target.warned_share, target.due_at, left)
