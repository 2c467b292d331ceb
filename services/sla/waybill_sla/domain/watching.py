"""What is at risk, and what becomes of it: for those who watch."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from waybill_sla.domain.clock import Clock, Target
from waybill_sla.domain.words import Level, Priority, TargetKind, TargetState


@dataclass(frozen=True, slots=True)
class Watched:
    """A target of a ticket, with what people look for it by."""

    ticket_id: UUID
    number: str
    product: str
    type: str
    priority: Priority
    target: TargetKind
    state: TargetState
    due_at: datetime
    warned_share: float
    level: Level
    team: str
    agent: str | None
    calendar_id: UUID
    calendar_version: int

    @property
    def at_risk(self) -> bool:
        """Whether it may soon be breached."""
        return self.state is TargetState.AT_RISK


class Turn(StrEnum):
    """What became of a target, for those who watch some of all."""

    APPEARED = "appeared"
    CHANGED = "changed"
    LEFT = "left"


@dataclass(frozen=True, slots=True)
class RiskChange:
    """A target before and after; None before there was one."""

    before: Watched | None
    after: Watched


@dataclass(frozen=True, slots=True)
class Scope:
    """Which targets are looked at: all that is given must hold. None is any."""

    products: frozenset[str] | None = None
    types: frozenset[str] | None = None
    priorities: frozenset[str] | None = None
    targets: frozenset[str] | None = None
    teams: frozenset[str] | None = None
    agents: frozenset[str] | None = None

    def covers(self, one: Watched) -> bool:
        """Whether it is one of them."""
        asked = (
            (self.products, one.product),
            (self.types, one.type),
            (self.priorities, one.priority),
            (self.targets, one.target),
            (self.teams, one.team),
            (self.agents, one.agent),
        )
        return all(wanted is None or has in wanted for wanted, has in asked)

    def turn(self, change: RiskChange) -> Turn | None:
        """What a change means to whoever looks at these; None for nothing."""
        before, after = change.before, change.after
        was = before is not None and before.at_risk and self.covers(before)
        if after.at_risk and self.covers(after):
            return Turn.CHANGED if was else Turn.APPEARED
        return Turn.LEFT if was else None


def risk_changes(before: Clock, after: Clock) -> Iterator[RiskChange]:
    """What is to be told of a clock that was changed, if anything."""
    had = {target.kind: target for target in before.targets}
    if before.ticket is None:
        had = {}
    for target in after.targets:
        old = had.get(target.kind)
        if TargetState.AT_RISK not in (target.state, old and old.state):
            continue
        now = _watched(after, target)
        then = _watched(before, old) if old is not None else None
        if now != then:
            yield RiskChange(then, now)


def _watched(clock: Clock, target: Target) -> Watched:
    ticket, wait = clock.ticket, clock.wait
    assert ticket is not None
    return Watched(
        ticket_id=clock.ticket_id,
        number=ticket.number,
        product=ticket.product,
        type=ticket.type,
        priority=ticket.priority,
        target=target.kind,
        state=target.state,
        due_at=target.due_at,
        warned_share=target.warned_share,
        level=clock.level,
        team=wait.team if wait else "",
        agent=wait.agent if wait else None,
        calendar_id=target.calendar.id,
        calendar_version=target.calendar.version,
    )
