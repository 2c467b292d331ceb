"""Policies, the escalation ladder and the numbers: what was agreed, as data."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from waybill_sla.domain.clock import Clock
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
    tag: str | None = None
    calendar: str = "always"
    """The name of the calendar by which its time is counted."""
    ladder: str = "default"
    """The name of the ladder that its tickets go up."""

    def fits(self, ticket: Ticket) -> bool:
        """Whether it is for this ticket."""
        return self.selector in _selectors(ticket, _asked(self.selector))

    @property
    def selector(self) -> "Selector":
        """What it asks of a ticket, the weightiest first; None asks nothing."""
        tier = self.tier and self.tier.lower()
        return (self.product, self.type, tier, self.tag, self.priority)

    def allowed(self, priority: Priority) -> Mapping[TargetKind, timedelta]:
        """The targets of a priority."""
        return self.targets[priority]


Selector = tuple[str | None, ...]
"""Product, type, tier, tag and priority that a policy asks for."""


def _asked(selector: Selector) -> tuple[bool, ...]:
    return tuple(wanted is not None for wanted in selector)


def _selectors(ticket: Ticket, asked: tuple[bool, ...]) -> Iterator[Selector]:
    """The selectors that ask just for these of a ticket's facts, by the names of its tags."""
    product, type, tier, tag, priority = asked
    for name in sorted(ticket.tags) if tag else (None,):
        yield (
            ticket.product if product else None,
            ticket.type if type else None,
            ticket.tier.lower() if tier else None,
            name,
            ticket.priority if priority else None,
        )


class Policies:
    """All versions of all policies, the current ones found by what they ask for.

    The one that asks for most is chosen; of those that ask for as much, the one with a product,
    then a type, a tier, a tag, a priority; of two tags the first by name. No two ask for the same.
    """

    def __init__(self, policies: Iterable[Policy]) -> None:
        """There must be a current one that fits every ticket."""
        self._all = {(policy.id, policy.version): policy for policy in policies}
        self._current = {one.selector: one for one in self._all.values() if one.current}
        self._shapes = sorted(
            {_asked(selector) for selector in self._current},
            key=lambda asked: (sum(asked), asked),
            reverse=True,
        )

    def choose(
        self,
        ticket: Ticket,
        pinned: tuple[UUID, int] | None = None,
        known: Ticket | None = None,
    ) -> Policy:
        """The one for a ticket: what is `pinned`, while nothing it was chosen by has changed.

        `known` is the ticket as it was; of the policy that is pinned already, that version stays.
        """
        if pinned is not None and known is not None and _facts(known) == _facts(ticket):
            return self._all[pinned]
        chosen = next(
            self._current[selector]
            for asked in self._shapes
            for selector in _selectors(ticket, asked)
            if selector in self._current
        )
        if pinned is not None and pinned[0] == chosen.id:
            kept = self._all[pinned]
            return kept if ticket.priority in kept.targets else chosen
        return chosen

    def of(self, id: UUID | None, version: int) -> Policy | None:
        """A version of a policy."""
        return None if id is None else self._all.get((id, version))


def _facts(ticket: Ticket) -> tuple[object, ...]:
    return (ticket.product, ticket.type, ticket.tier, frozenset(ticket.tags), ticket.priority)


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
    type: str | None = None
    """Only for this type of ticket; None for any."""
    share: float | None = None
    """At risk: the share of the target's time from which on it fires."""
    after: timedelta | None = None
    """Unassigned: how long nobody has had the ticket."""
    count: int | None = None
    """Repeated issue: the count from which on it fires."""
    teams: tuple[str, ...] = ()
    """The teams it goes to; none for the one that is called as its level is."""


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
    own_follow_ups: Mapping[str, Mapping[FollowUp, timedelta]] = field(default_factory=dict)
    """What of it is different for a product."""

    def follow_up(self, kind: FollowUp, product: str) -> timedelta:
        """How long after the last public word it is due."""
        return self.own_follow_ups.get(product, {}).get(kind) or self.follow_ups[kind]


@dataclass(frozen=True, slots=True)
class Agreement:
    """All that was agreed and decides what a fact means."""

    policies: Policies
    ladder: Ladder
    rules: Rules
    calendars: Mapping[str, Calendar] = field(default_factory=dict)
    """The calendars that policies name, as they stand now."""
    ladders: Mapping[str, Ladder] = field(default_factory=dict)
    """The ladders beside the default one, `ladder`."""

    def calendar(self, policy: Policy) -> Calendar:
        """The calendar by which a policy's time is counted."""
        return self.calendars.get(policy.calendar, ALWAYS)

    def shares(self, clock: Clock, kind: TargetKind) -> tuple[float, ...]:
        """Where a target is warned of: at the set shares, and where a rung of the ladder hangs."""
        hangs = {
            rung.share
            for rung in self.ladder_of(clock)
            if rung.trigger is Trigger.AT_RISK and rung.target in (None, kind) and rung.share
        }
        return tuple(sorted({*self.rules.shares, *hangs}))

    def ladder_of(self, clock: Clock) -> Ladder:
        """The ladder of the policy that a clock has."""
        policy = self.policies.of(clock.policy_id, clock.policy_version)
        return self.ladders.get(policy.ladder, self.ladder) if policy else self.ladder
