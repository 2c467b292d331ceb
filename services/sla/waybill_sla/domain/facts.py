"""What a fact about a ticket does to its clock. Facts are judged by when they happened."""

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from waybill_sla.domain import ladder, ledger, targets
from waybill_sla.domain.clock import Clock, Dating, Outcome, Target
from waybill_sla.domain.policy import Agreement, Policy
from waybill_sla.domain.targets import Hearing
from waybill_sla.domain.telling import (
    ClockPaused,
    ClockResumed,
    ClockStarted,
    StartReason,
    Telling,
)
from waybill_sla.domain.ticket import Repetition, Ticket, Wait
from waybill_sla.domain.words import ClockState, Level, SegmentKind, TargetKind


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
    same = _pinned(clock) == (policy.id, policy.version)
    after = replace(
        before,
        ticket=ticket,
        segments=ledger.continued(before.segments, ticket, hearing.at, hearing.event_id),
        policy_id=policy.id,
        policy_version=policy.version,
        calendar=clock.calendar if same else agreed.calendar(policy),
    )
    if known is not None and known.episode != ticket.episode:
        after = replace(after, followed_up=frozenset())
    if known is not None and ticket.reopenings > known.reopenings:
        after = replace(after, level=Level.NONE, fired=ladder.still_fired(after))
    if known is not None and before.state is after.state is ClockState.STOPPED:
        return Outcome(replace(clock, ticket=ticket))
    started = _starting(before, after, hearing)
    by = targets.judging(after, agreed, hearing)
    steps = targets.steps(before.targets, after, by, recomputed=bool(started))
    latest = {new.kind: new for _, new in steps}
    judged = tuple(latest[kind] for kind in TargetKind if kind in latest)
    ended = tuple(new for _, new in steps if new is not latest[new.kind])
    after = replace(
        after,
        targets=judged,
        fired=_still_told(before, after.fired, judged),
        past=(*after.past, *ended),
    )
    moved = _dates(before.targets) != _dates(judged)
    if known is None or moved or before.state is not after.state:
        after = replace(after, dated=clock.dated + 1)
    told: tuple[Telling, ...] = (
        *started,
        *_turning(before, after),
        *(telling for old, new in steps for telling in targets.changes(old, new, after, hearing)),
    )
    if started:
        after = _noted(after, started[0], hearing)
    # A calendar edited since is not what the fact is judged by.
    if after.calendar != agreed.calendar(policy):
        after, more = _redated(after, policy, hearing, agreed)
        told = (*told, *more)
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
    after, told = _redated(clock, policy, hearing, agreed)
    return ladder.climb(
        _stamped(after, told, hearing.now), told, agreed.ladder_of(after), hearing.now
    )


def _redated(
    clock: Clock, policy: Policy, hearing: Hearing, agreed: Agreement
) -> tuple[Clock, tuple[Telling, ...]]:
    """The clock by a policy and its calendar as it stands now, and what is told of it."""
    after = replace(
        clock,
        policy_id=policy.id,
        policy_version=policy.version,
        calendar=agreed.calendar(policy),
    )
    same = _pinned(after) == _pinned(clock)
    if clock.state is ClockState.STOPPED or (same and after.calendar == clock.calendar):
        return clock, ()
    by = targets.judging(after, agreed, hearing)
    judged = tuple(
        targets.judged(target, after, by.allowed[target.kind], by)
        if target.open and target.kind in by.allowed
        else target
        for target in (targets.overdue(target, clock, by) for target in clock.targets)
    )
    pairs = list(zip(clock.targets, judged, strict=True))
    moved = any((old.due_at, old.state) != (new.due_at, new.state) for old, new in pairs)
    started = ClockStarted(hearing.at, StartReason.REDATED)
    after = _noted(replace(after, targets=judged), started, hearing)
    if same and not moved:
        return after, ()
    after = replace(after, dated=clock.dated + 1)
    said = (telling for pair in pairs for telling in targets.changes(*pair, after, hearing))
    return after, (started, *said)


def _noted(clock: Clock, started: ClockStarted, hearing: Hearing) -> Clock:
    """The clock with the line in its ledger that it is dated anew."""
    ticket = clock.ticket
    assert ticket is not None
    assert clock.policy_id is not None
    at = max(started.at, clock.dated_at or started.at)
    dating = Dating(
        at,
        started.reason,
        hearing.event_id,
        clock.policy_id,
        clock.policy_version,
        clock.calendar.id,
        clock.calendar.version,
        ticket.priority,
        ticket.type,
    )
    return replace(clock, datings=(*clock.datings, dating), dated_at=at)


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


def _stamped(clock: Clock, told: tuple[Telling, ...], now: datetime) -> Clock:
    """The next version, if there is anything to tell."""
    return replace(clock, version=clock.version + 1, updated_at=now) if told else clock


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


def _starting(before: Clock, after: Clock, hearing: Hearing) -> tuple[ClockStarted, ...]:
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
