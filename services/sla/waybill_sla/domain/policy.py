"""Policies, the escalation ladder and the numbers: what was agreed, as data."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from waybill_sla.domain.ledger import ALWAYS, Calendar
from waybill_sla.domain.ticket import Ticket
from waybill_sla.domain.words import FollowUp, Level, Priority, TargetKind, Trigger

Targets = Mapping[Priority, Mapping[TargetKind, timedelta]]


@dataclass(frozen=True, slots=True)
class Policy:
    """One version of a policy: how much working time each priority gives each target.

    The selector fields say which tickets it is for; None fits all.
    """

    id: UUID
    version: int
    name: str
    targets: Targets
    current: bool = True
    product: str | None = None
    type: str | None = None
    priority: Priority | None = None
    tier: str | None = None
    calendar: str = "always"
    """The name of the calendar by which its time is counted."""

    def fits(self, ticket: Ticket) -> bool:
        """Whether it is for this ticket."""
        return all(
            wanted in (None, had)
            for wanted, had in (
                (self.product, ticket.product),
                (self.type, ticket.type),
                (self.priority, ticket.priority),
                (self.tier, ticket.tier),
            )
        )

    @property
    def specificity(self) -> int:
        """How much it asks of a ticket: the more, the sooner it is chosen."""
        return sum(
            wanted is not None for wanted in (self.product, self.type, self.priority, self.tier)
        )

    def allowed(self, priority: Priority) -> Mapping[TargetKind, timedelta]:
        """The targets of a priority."""
        return self.targets[priority]


class Policies:
    """All versions of all policies."""

    def __init__(self, policies: Iterable[Policy]) -> None:
        """There must be a current one that fits every ticket."""
        self._all = {(policy.id, policy.version): policy for policy in policies}

    def choose(self, ticket: Ticket, pinned: tuple[UUID, int] | None = None) -> Policy:
        """The most specific that fits; of the policy that is `pinned` already, that version."""
        chosen = max(
            (policy for policy in self._all.values() if policy.current and policy.fits(ticket)),
            key=lambda policy: policy.specificity,
        )
        if pinned is not None and pinned[0] == chosen.id:
            return self._all[pinned]
        return chosen


@dataclass(frozen=True, slots=True)
class Rung:
    """One rung of the ladder: what makes it fire, and how far up it leads."""

    name: str
    trigger: Trigger
    level: Level
    target: TargetKind | None = None
    """Only for this target; None for any."""
    priority: Priority | None = None
    """Only for this priority; None for any."""
    share: float | None = None
    """At risk: the share of the target's time from which on it fires."""
    after: timedelta | None = None
    """Unassigned: how long nobody has had the ticket."""
    count: int | None = None
    """Repeated issue: the count from which on it fires."""


Ladder = tuple[Rung, ...]


@dataclass(frozen=True, slots=True)
class Rules:
    """The numbers that a platform may set."""

    shares: tuple[float, ...] = (0.5, 0.75, 0.9)
    """At these shares of a target's time a warning is given, lowest first."""
    at_risk_share: float = 0.75
    """From here on a target is `at_risk`."""
    follow_ups: Mapping[FollowUp, timedelta] = field(
        default_factory=lambda: {
            FollowUp.REMINDER_1: timedelta(hours=24),
            FollowUp.REMINDER_2: timedelta(hours=72),
            FollowUp.AUTO_CLOSE_AWAITING: timedelta(days=7),
            FollowUp.AUTO_CLOSE_RESOLVED: timedelta(days=3),
        }
    )


@dataclass(frozen=True, slots=True)
class Agreement:
    """All that was agreed and decides what a fact means."""

    policies: Policies
    ladder: Ladder
    rules: Rules
    calendars: Mapping[str, Calendar] = field(default_factory=dict)
    """The calendars that policies name, as they stand now."""

    def calendar(self, policy: Policy) -> Calendar:
        """The calendar by which a policy's time is counted."""
        return self.calendars.get(policy.calendar, ALWAYS)
