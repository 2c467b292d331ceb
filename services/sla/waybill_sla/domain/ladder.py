"""The escalation ladder: which rung a ticket's troubles lead to."""

from dataclasses import replace
from datetime import datetime

from waybill_chassis.problems import Conflict, invalid_field

from waybill_sla.domain.clock import Clock, Outcome
from waybill_sla.domain.policy import Ladder, Rung
from waybill_sla.domain.telling import TargetAtRisk, TargetBreached, Telling, TicketEscalated
from waybill_sla.domain.words import UNSOLVED, Level, TargetKind, Trigger


class NotHigher(Conflict):
    """The ticket is at this level, or above it, already."""

    title = "Not higher than it is"


class NothingToEscalate(Conflict):
    """The ticket is resolved or closed."""

    title = "Nothing to escalate"


def climb(clock: Clock, told: tuple[Telling, ...], ladder: Ladder, now: datetime) -> Outcome:
    """The outcome of `told` with the highest rung that it makes fire, if any."""
    found = [
        (rung, _cause(rung, clock, telling), _target(telling))
        for telling in told
        for rung in ladder
        if _fires(rung, clock, telling)
    ] + [
        (rung, _cause(rung, clock, None), None)
        for rung in ladder
        if _repeats_too_often(rung, clock)
    ]
    return _climbed(clock, told, found, now)


def too_long_unassigned(clock: Clock, rung: Rung, now: datetime) -> Outcome:
    """Nobody has had the ticket for as long as the rung allows."""
    return _climbed(clock, (), [(rung, _cause(rung, clock, None), None)], now)


def waits(clock: Clock, ladder: Ladder) -> list[tuple[Rung, datetime]]:
    """The rungs that fire if nobody takes the ticket, and when."""
    since = clock.unassigned_since
    if since is None:
        return []
    return [
        (rung, since + rung.after)
        for rung in ladder
        if rung.trigger is Trigger.UNASSIGNED
        and rung.after is not None
        and _concerns(rung, clock)
        and rung.level > clock.level
        and _cause(rung, clock, None) not in clock.fired
    ]


def by_hand(
    clock: Clock, level: Level, teams: tuple[str, ...], comment: str, now: datetime
) -> Outcome:
    """A person escalates the ticket."""
    if clock.ticket is None or clock.ticket.status not in UNSOLVED:
        raise NothingToEscalate("A resolved or closed ticket cannot be escalated: reopen it first.")
    if level <= clock.level:
        raise NotHigher(
            f"The ticket is at {clock.level.slug} already; its level only rises until a reopening.",
            escalation_level=clock.level.slug,
            allowed_levels=[other.slug for other in Level if other > clock.level],
        )
    if level is Level.CROSS_DEPARTMENT and len(teams) < 2:
        raise invalid_field("teams", "must name at least two teams for cross_department")
    telling = TicketEscalated(
        now,
        level,
        clock.level,
        Trigger.BY_HAND,
        teams or (level.slug,),
        comment=comment,
    )
    return Outcome(
        replace(clock, level=level, version=clock.version + 1, updated_at=now), (telling,)
    )


_Fired = tuple[Rung, str, TargetKind | None]


def _climbed(
    clock: Clock, told: tuple[Telling, ...], found: list[_Fired], now: datetime
) -> Outcome:
    new = [fired for fired in found if fired[1] not in clock.fired]
    if not new:
        return Outcome(clock, told)
    clock = replace(clock, fired=clock.fired | {cause for _, cause, _ in new})
    rung, _, target = max(new, key=lambda fired: fired[0].level)
    if rung.level <= clock.level:
        return Outcome(clock, told)
    telling = TicketEscalated(
        now,
        rung.level,
        clock.level,
        rung.trigger,
        rung.teams or (rung.level.slug,),
        target=target,
        rung=rung.name,
        led_by=clock.repetition.event
        if rung.trigger is Trigger.ISSUE_REPEATED and clock.repetition
        else None,
    )
    version = clock.version + (0 if told else 1)
    return Outcome(
        replace(clock, level=rung.level, version=version, updated_at=now), (*told, telling)
    )


def _concerns(rung: Rung, clock: Clock) -> bool:
    ticket = clock.ticket
    return (
        ticket is not None
        and ticket.status in UNSOLVED
        and rung.priority in (None, ticket.priority)
        and rung.type in (None, ticket.type)
    )


def _fires(rung: Rung, clock: Clock, telling: Telling) -> bool:
    if not _concerns(rung, clock):
        return False
    match telling:
        case TargetAtRisk():
            return (
                rung.trigger is Trigger.AT_RISK
                and rung.target in (None, telling.kind)
                and telling.share >= (rung.share or 0.0)
            )
        case TargetBreached():
            return rung.trigger is Trigger.BREACHED and rung.target in (None, telling.kind)
    return False


def _repeats_too_often(rung: Rung, clock: Clock) -> bool:
    return (
        rung.trigger is Trigger.ISSUE_REPEATED
        and clock.repetition is not None
        and clock.repetition.count >= (rung.count or 0)
        and _concerns(rung, clock)
    )


def still_fired(clock: Clock) -> frozenset[str]:
    """The rungs that have fired, without what can not be a cause again after a reopening."""
    assert clock.ticket is not None
    kept: dict[str, str] = {}
    for cause in sorted(clock.fired):
        rung, kind, *rest = *cause.split(":"), ""
        if kind not in _KINDS:
            # Of all waits for somebody the last.
            kept[rung] = cause
        elif int(rest[0]) >= clock.ticket.reopenings:
            kept[cause] = cause
    return frozenset(kept.values())


_KINDS = frozenset(kind.value for kind in TargetKind)


def _target(telling: Telling | None) -> TargetKind | None:
    return telling.kind if isinstance(telling, TargetAtRisk | TargetBreached) else None


def _cause(rung: Rung, clock: Clock, telling: Telling | None) -> str:
    """What a rung fires for once: each target once until a reopening, each wait, the issue."""
    if rung.trigger is Trigger.UNASSIGNED and clock.unassigned_since is not None:
        return f"{rung.name}:{clock.unassigned_since.isoformat()}"
    if (target := _target(telling)) is not None and clock.ticket is not None:
        cause = f"{rung.name}:{target}:{clock.ticket.reopenings}"
        round = clock.target(target).round
        return f"{cause}:{round}" if round else cause
    return rung.name
