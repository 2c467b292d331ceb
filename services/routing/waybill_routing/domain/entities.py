"""Agents, teams, queues, rules, and a ticket as routing sees it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from waybill_routing.domain.words import (
    Method,
    Presence,
    ReleaseReason,
    SkillKind,
    State,
    Status,
    Strategy,
)


@dataclass(frozen=True, slots=True)
class Skill:
    """What somebody is good at: `value` is a type, a tag, a product or a language.

    `level` is from 1, knows a little, to 5, knows it best.
    """

    kind: SkillKind
    value: str
    level: int = 3


@dataclass(frozen=True, slots=True)
class Agent:
    """Somebody who works on tickets. The address is how a token's holder is recognised.

    An open ticket counts with its weight: `load` is the sum of these, `capacity` the most it may
    be. `stand_in` takes their place at present; nobody does unless they are absent.
    """

    id: UUID
    email: str
    name: str
    teams: tuple[str, ...]
    skills: tuple[Skill, ...]
    capacity: int
    presence: Presence
    presence_since: datetime
    open_tickets: int = 0
    load: int = 0
    last_assigned_at: datetime | None = None
    on_duty: bool = True
    """On shift, and not absent."""
    stand_in: UUID | None = None
    version: int = 1

    @property
    def ready(self) -> bool:
        """Whether they are given tickets without anybody's asking, as far as they have room."""
        return self.presence is Presence.AVAILABLE and self.on_duty

    @property
    def room(self) -> int:
        """How much more weight they can hold; never below zero."""
        return max(self.capacity - self.load, 0)

    def fits(self, weight: int) -> bool:
        """Whether they have room for a ticket of this weight.

        Whoever holds nothing has room for any, so that none is too heavy for everybody.
        """
        return 0 < min(weight, self.capacity) <= self.room


@dataclass(frozen=True, slots=True)
class Team:
    """Agents who share queues. `escalation_level` is 0 for a team that nothing is escalated to."""

    slug: str
    name: str
    escalation_level: int = 0
    version: int = 1


@dataclass(frozen=True, slots=True)
class Queue:
    """Where the tickets of a team wait."""

    slug: str
    team: str
    strategy: Strategy = Strategy.LEAST_LOADED
    needs: frozenset[SkillKind] = frozenset()
    """Of what kinds an agent must have the skills that a ticket speaks of; others are welcome."""
    at_once: int | None = None
    """The most weight that the automation gives one agent at once, below their capacity."""
    version: int = 1


@dataclass(frozen=True, slots=True)
class Rule:
    """Which queue a ticket goes to. The lowest position wins.

    A ticket must have one of the values of each condition, and all of `tags_all`; what is empty
    matches anything. `text` are words and phrases.
    """

    id: UUID
    position: int
    queue: str
    name: str = ""
    enabled: bool = True
    product: tuple[str, ...] = ()
    type: tuple[str, ...] = ()
    priority: tuple[str, ...] = ()
    language: tuple[str, ...] = ()
    tier: tuple[str, ...] = ()
    tags_any: tuple[str, ...] = ()
    tags_all: tuple[str, ...] = ()
    text: tuple[str, ...] = ()
    version: int = 1


@dataclass(frozen=True, slots=True)
class Ticket:
    """What routing keeps of intake's ticket; empty words are unknown ones.

    `sequence` is that of intake's last event that was taken over, 0 for none. `text` is there
    while a ticket is placed and never kept: it is the submitter's. `submitter` and `links` are
    there when it is heard of, and kept apart.
    """

    id: UUID
    product: str = ""
    type: str = ""
    priority: str = ""
    status: str = ""
    language: str = ""
    tags: tuple[str, ...] = ()
    tier: str = ""
    """The submitter's, such as `gold`."""
    opened_at: datetime | None = None
    sequence: int = 0
    submitter: UUID | None = field(default=None, compare=False)
    links: tuple[UUID, ...] = field(default=(), compare=False)
    text: str = field(default="", compare=False, repr=False)

    @property
    def open(self) -> bool:
        """Whether there is work to do; what is unknown is taken for open."""
        return self.status not in (Status.RESOLVED, Status.CLOSED)

    @property
    def closed(self) -> bool:
        """Whether it is archived."""
        return self.status == Status.CLOSED


@dataclass(frozen=True, slots=True)
class Assignment:
    """Who has a ticket, or where it waits. Version 0 is that of an unplaced one."""

    state: State = State.UNPLACED
    agent_id: UUID | None = None
    team: str = ""
    queue: str = ""
    version: int = 0
    since: datetime | None = None
    why: str = ""
    method: Method | None = None
    waiting_since: datetime | None = None
    """Since when it has waited for an agent, or had when it got one: no release renews it."""
    given_back_by: UUID | None = None
    """Whom it was last taken from by hand, or who did not accept it: the automation does not give
    it to them again."""
    given_back_until: datetime | None = None
    """So long; None: until somebody else has had it."""
    accepted_at: datetime | None = None
    """When who has it claimed it, asked for it or first did something to it; None: not yet."""


@dataclass(frozen=True, slots=True)
class Case:
    """A ticket, its assignment, and what sla says about its haste.

    `weight` is what it counts for whoever has it: that of its priority when it was given.
    """

    ticket: Ticket
    assignment: Assignment = field(default_factory=Assignment)
    weight: int = 1
    risk_share: float = 0.0
    due_at: datetime | None = None
    sla_sequence: int = 0
    escalation_sequence: int = 0

    @property
    def id(self) -> UUID:
        """The ticket's id."""
        return self.ticket.id

    @property
    def holder(self) -> UUID | None:
        """The agent whose capacity it takes; a resolved ticket takes nobody's."""
        return self.assignment.agent_id if self.ticket.open else None


@dataclass(frozen=True, slots=True)
class TicketSeen:
    """intake's ticket as it stands."""

    ticket: Ticket


@dataclass(frozen=True, slots=True)
class RiskSeen:
    """A share of a target's time is used up."""

    ticket_id: UUID
    share: float
    due_at: datetime | None
    sequence: int


@dataclass(frozen=True, slots=True)
class Escalated:
    """A ticket is to go to the first of `teams`."""

    ticket_id: UUID
    teams: tuple[str, ...]
    sequence: int


@dataclass(frozen=True, slots=True)
class Touched:
    """An agent did something to a ticket: wrote, moved or edited it."""

    ticket_id: UUID
    agent_id: UUID
    at: datetime


News = TicketSeen | RiskSeen | Escalated | Touched


class Considered(NamedTuple):
    """An agent who could have had a ticket: the score is the sum of the parts, the best wins."""

    agent_id: UUID
    name: str
    score: float
    parts: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Change:
    """One step of a ticket's way, as it is told and kept: `assignment` is the state after it.

    `reason` is given for a release, and only then; `considered` are the best of those who could
    have it when the automation chose, the chosen one first, and `able` how many could. `queue` is
    the one whose strategy was asked, `rule` what led to it if one was asked in this step.
    """

    ticket_id: UUID
    assignment: Assignment
    agent: Agent | None = None
    previous_agent: Agent | None = None
    previous_team: str = ""
    reason: ReleaseReason | None = None
    considered: tuple[Considered, ...] = ()
    able: int = 0
    queue: Queue | None = None
    rule: Rule | None = None
