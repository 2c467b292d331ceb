"""What other services say of a ticket: who has it, where its targets stand, what it is like."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID


@dataclass(frozen=True, slots=True)
class Assignment:
    """Who has a ticket, as routing said with event `sequence`."""

    sequence: int = 0
    agent_id: str | None = None
    agent_name: str | None = None
    agent_email: str | None = None
    team: str | None = None


@dataclass(frozen=True, slots=True)
class Sla:
    """Where a ticket's targets stand, as sla said with event `sequence`."""

    sequence: int = 0
    response_state: str | None = None
    response_due_at: datetime | None = None
    resolution_state: str | None = None
    resolution_due_at: datetime | None = None
    escalation_level: str | None = None


@dataclass(frozen=True, slots=True)
class Suspicion:
    """An older ticket that may be the same, and how alike, from 0 to 1.

    `dismissed`: somebody has said that it is not, so it is neither shown nor merged by itself.
    """

    ticket_id: UUID
    number: str
    score: float
    dismissed: bool = False


@dataclass(frozen=True, slots=True)
class Facts:
    """All that they say, `suspected` as kb said with event `kb_sequence`."""

    assignment: Assignment = Assignment()
    sla: Sla = Sla()
    assigned_at: datetime | None = None
    """When routing said its last word about who has it."""
    triaged_version: int = 0
    """The newest version of the ticket that triage has looked at."""
    kb_sequence: int = 0
    suspected: tuple[Suspicion, ...] = ()

    def suspicion(self, ticket_id: UUID) -> Suspicion | None:
        """What is suspected of the ticket and this other one."""
        return next((one for one in self.suspected if one.ticket_id == ticket_id), None)

    def without(self, ticket_id: UUID) -> "Facts":
        """Nothing is suspected of the ticket and this other one any more."""
        kept = tuple(one for one in self.suspected if one.ticket_id != ticket_id)
        return replace(self, suspected=kept)

    def dismissing(self, ticket_id: UUID, number: str) -> "Facts":
        """Somebody has said that this other one is not the same, whatever is suspected later."""
        held = self.suspicion(ticket_id) or Suspicion(ticket_id, number, 0.0)
        others = self.without(ticket_id).suspected
        return replace(self, suspected=(*others, replace(held, dismissed=True)))

    def suspecting(self, found: Sequence[Suspicion], sequence: int) -> "Facts":
        """The newest word of kb's; what was dismissed stays so."""
        gone = [one for one in self.suspected if one.dismissed]
        ids = {one.ticket_id for one in gone}
        fresh = [one for one in found if one.ticket_id not in ids]
        return replace(self, kb_sequence=sequence, suspected=(*fresh, *gone))
