"""What other services say of a ticket: who has it, and where its targets stand."""

from dataclasses import dataclass
from datetime import datetime


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
class Facts:
    """Both."""

    assignment: Assignment = Assignment()
    sla: Sla = Sla()
