"""Agents, teams, queues, rules, and a ticket as routing sees it."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from waybill_routing.domain.words import (
    Method,
    Presence,
    ReleaseReason,
    State,
    Status,
    Strategy,
)


@dataclass(frozen=True, slots=True)
class Agent:
    """Somebody who works on tickets. The address is how a token's holder is recognised."""

    id: UUID
    email: str
    name: str
    teams: tuple[str, ...]
    skills: tuple[str, ...]
    capacity: int
    presence: Presence
    presence_since: datetime
    open_tickets: int = 0
    last_assigned_at: datetime | None = None
    version: int = 1

    @property
    def room(self) -> int:
        """How many more open tickets they can hold; never below zero."""
        return max(self.capacity - self.open_tickets, 0)


@dataclass(frozen=True, slots=True)
class Team:
    """Agents who share queues. `escalation_level` is 0 for a team that nothing is escalated to."""

    slug: str
    name: str
    escalation_level: int = 0


@dataclass(frozen=True, slots=True)
class Queue:
    """Where the tickets of a team wait."""

    slug: str
    team: str
    strategy: Strategy = Strategy.LEAST_LOADED


@dataclass(frozen=True, slots=True)
class Rule:
    """Which queue a ticket goes to; what is None matches anything. The lowest position wins."""

    id: UUID
    position: int
    queue: str
    product: str | None = None
    type: str | None = None
    priority: str | None = None


@dataclass(frozen=True, slots=True)
class Ticket:
    """What routing keeps of intake's ticket; empty words are unknown ones.

    `sequence` is that of intake's last event that was taken over, 0 for none.
    """

    id: UUID
    product: str = ""
    type: str = ""
    priority: str = ""
    status: str = ""
    opened_at: datetime | None = None
    sequence: int = 0

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
    """Whom it was last taken from by hand: the automation does not give it to them again."""


@dataclass(frozen=True, slots=True)
class Case:
    """A ticket, its assignment, and what sla says about its haste."""

    ticket: Ticket
    assignment: Assignment = field(default_factory=Assignment)
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


News = TicketSeen | RiskSeen | Escalated


@dataclass(frozen=True, slots=True)
class Change:
    """One step of a ticket's way, as it is told and kept: `assignment` is the state after it.

    `reason` is given for a release, and only then.
    """

    ticket_id: UUID
    assignment: Assignment
    agent: Agent | None = None
    previous_agent: Agent | None = None
    previous_team: str = ""
    reason: ReleaseReason | None = None
