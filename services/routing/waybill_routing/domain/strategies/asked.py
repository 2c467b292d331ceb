"""What a strategy is asked, and what it answers."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from waybill_routing.domain.entities import Agent, Case, Considered, Queue
from waybill_routing.domain.learning import HandlingTimes
from waybill_routing.domain.words import Priority, SkillKind

TARGETS: Mapping[str, timedelta] = {
    Priority.URGENT: timedelta(minutes=15),
    Priority.HIGH: timedelta(hours=2),
    Priority.MEDIUM: timedelta(hours=24),
    Priority.LOW: timedelta(days=3),
}
"""Within what time a ticket is taken to be wanted of which sla has said nothing yet."""

SHOWN = 8
"""So many of those who could have had a ticket are kept with a decision."""

Profile = tuple[str, str, str, str, tuple[str, ...], int, UUID | None]


@dataclass(frozen=True, slots=True)
class Ask:
    """A ticket that somebody is wanted for. `weight` is what it counts for whoever gets it."""

    case: Case
    queue: Queue
    weight: int = 1

    @property
    def profile(self) -> Profile:
        """What decides who can have it, and how well: the same for many tickets."""
        ticket = self.case.ticket
        return (
            self.queue.slug,
            ticket.type,
            ticket.product,
            ticket.language,
            ticket.tags,
            self.weight,
            self.case.assignment.given_back_by,
        )

    def skills(self) -> Iterable[tuple[SkillKind, str]]:
        """The skills that it speaks of."""
        ticket = self.case.ticket
        if ticket.type:
            yield SkillKind.TYPE, ticket.type
        if ticket.product:
            yield SkillKind.PRODUCT, ticket.product
        if ticket.language:
            yield SkillKind.LANGUAGE, ticket.language
        for tag in ticket.tags:
            yield SkillKind.TAG, tag


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What is known besides the tickets and agents themselves."""

    times: HandlingTimes = field(default_factory=HandlingTimes)
    familiar: Mapping[UUID, frozenset[UUID]] = field(default_factory=dict)
    """Agents who know a ticket's submitter, or a ticket that it is linked to."""
    others: tuple[Agent, ...] = ()
    """Agents of the same teams who are not at the desk."""


class Choice(NamedTuple):
    """Who gets a ticket, and why, in words and numbers.

    Without an agent it waits. `considered` are the best of those who could, the chosen one first;
    `able` is how many could.
    """

    ask: Ask
    agent: Agent | None
    why: str
    considered: tuple[Considered, ...] = ()
    able: int = 0


def due(case: Case) -> datetime | None:
    """When the ticket is wanted: as sla says, else by its priority; None when nothing is known."""
    if case.due_at is not None:
        return case.due_at
    opened, target = case.ticket.opened_at, TARGETS.get(case.ticket.priority)
    return None if opened is None or target is None else opened + target
