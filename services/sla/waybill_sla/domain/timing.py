"""Which timers a clock needs, and what happens when they come due."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from waybill_sla.domain import ladder
from waybill_sla.domain.clock import Clock, Outcome, Target
from waybill_sla.domain.ledger import Calendar
from waybill_sla.domain.policy import Agreement
from waybill_sla.domain.targets import breach_time, open_state
from waybill_sla.domain.telling import FollowUpDue, TargetAtRisk, TargetBreached
from waybill_sla.domain.words import ClockState, FollowUp, Status, TargetState, TimerKind


@dataclass(frozen=True, slots=True)
class Alarm:
    """What a timer is for. `name` is the target, the follow-up or the rung.

    `stamp` is what it was armed for, the clock's `dated` or an episode: in another it is stale.
    """

    kind: TimerKind | FollowUp
    name: str
    share: float
    due_at: datetime
    stamp: int


class Dated(Protocol):
    """What has a deadline: a target, or a line of a list of them."""

    @property
    def due_at(self) -> datetime:
        """When it is due."""
        ...


def remaining(target: Dated, now: datetime, calendar: Calendar) -> timedelta:
    """The working time until the deadline of a target that runs; negative when that has passed.

    In a pause, `now` is when the pause began.
    """
    if target.due_at >= now:
        return calendar.working_time(now, target.due_at)
    return -calendar.working_time(target.due_at, now)


def wanted(clock: Clock, agreed: Agreement) -> frozenset[Alarm]:
    """All the alarms that a clock needs as it stands."""
    if clock.ticket is None or clock.state is ClockState.STOPPED:
        return frozenset()
    found = [alarm for alarm in _follow_ups(clock, agreed) if alarm.kind not in clock.followed_up]
    if clock.state is ClockState.RUNNING:
        for target in clock.targets:
            found += _deadlines(clock, target, agreed)
        found += [
            Alarm(TimerKind.UNASSIGNED, rung.name, 0.0, due, 0)
            for rung, due in ladder.waits(clock, agreed.ladder_of(clock))
        ]
    return frozenset(found)


def _deadlines(clock: Clock, target: Target, agreed: Agreement) -> list[Alarm]:
    if not target.open:
        return []
    warnings = (
        Alarm(TimerKind.WARNING, target.kind, share, clock.passes(target, share), clock.dated)
        for share in agreed.shares(clock, target.kind)
        if share > target.warned_share
    )
    return [Alarm(TimerKind.DUE, target.kind, 1.0, target.due_at, clock.dated), *warnings]


_FOLLOWED = {
    Status.AWAITING_USER: (
        FollowUp.REMINDER_1,
        FollowUp.REMINDER_2,
        FollowUp.AUTO_CLOSE_AWAITING,
    ),
    Status.RESOLVED: (FollowUp.AUTO_CLOSE_RESOLVED,),
}


def _follow_ups(clock: Clock, agreed: Agreement) -> list[Alarm]:
    ticket = clock.ticket
    assert ticket is not None
    return [
        Alarm(
            kind,
            kind,
            0.0,
            ticket.episode_since + agreed.rules.follow_up(kind, ticket.product),
            ticket.episode,
        )
        for kind in _FOLLOWED.get(ticket.status, ())
    ]


def due(clock: Clock, armed: Iterable[Alarm], agreed: Agreement, now: datetime) -> list[Alarm]:
    """Those of a clock's alarms that are to go off at `now`, in the order they came due.

    The stale ones are left out, and of several warnings of a target all but the highest.
    """
    live = [alarm for alarm in wanted(clock, agreed).intersection(armed) if alarm.due_at <= now]
    highest: dict[str, float] = {}
    for alarm in live:
        if alarm.kind is TimerKind.WARNING:
            highest[alarm.name] = max(highest.get(alarm.name, 0.0), alarm.share)
    return sorted(
        (
            alarm
            for alarm in live
            if alarm.kind is not TimerKind.WARNING or alarm.share == highest[alarm.name]
        ),
        key=lambda alarm: (alarm.due_at, alarm.share),
    )


def fire(clock: Clock, alarm: Alarm, agreed: Agreement, now: datetime, event_id: UUID) -> Outcome:
    """What an alarm that has come due does; nothing once it is no longer wanted."""
    if alarm not in wanted(clock, agreed):
        return Outcome(clock)
    match alarm.kind:
        case TimerKind.WARNING:
            return _warn(clock, alarm, agreed, now)
        case TimerKind.DUE:
            return _breach(clock, alarm, agreed, now, event_id)
        case TimerKind.UNASSIGNED:
            rung = next(rung for rung in agreed.ladder_of(clock) if rung.name == alarm.name)
            return ladder.too_long_unassigned(clock, rung, now)
        case FollowUp() as kind:
            return Outcome(
                replace(clock, followed_up=clock.followed_up | {kind}),
                (FollowUpDue(alarm.due_at, kind, alarm.stamp),),
            )


def _warn(clock: Clock, alarm: Alarm, agreed: Agreement, now: datetime) -> Outcome:
    target = _named(clock, alarm)
    telling = TargetAtRisk(
        alarm.due_at,
        target.kind,
        alarm.share,
        target.due_at,
        clock.remaining(target, now),
    )
    changed = replace(
        target,
        warned_share=alarm.share,
        state=open_state(clock, alarm.share, agreed.rules),
    )
    return ladder.climb(_with(clock, changed, now), (telling,), agreed.ladder_of(clock), now)


def _breach(clock: Clock, alarm: Alarm, agreed: Agreement, now: datetime, id: UUID) -> Outcome:
    target = _named(clock, alarm)
    at = breach_time(target, clock)
    telling = TargetBreached(at, id, target.kind, now)
    changed = replace(target, state=TargetState.BREACHED, breached_at=at, breach_event_id=id)
    return ladder.climb(_with(clock, changed, now), (telling,), agreed.ladder_of(clock), now)


def _named(clock: Clock, alarm: Alarm) -> Target:
    return next(target for target in clock.targets if target.kind == alarm.name)


def _with(clock: Clock, changed: Target, now: datetime) -> Clock:
    return replace(
        clock,
        targets=tuple(
            changed if target.kind is changed.kind else target for target in clock.targets
        ),
        version=clock.version + 1,
        updated_at=now,
    )
