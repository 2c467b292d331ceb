"""What sla knows of a ticket: facts of others, each kept with the number of its last event."""

from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from waybill_sla.domain.words import Priority, Status


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket as intake last told of it; `sequence` is the `ce_sequence` of that event."""

    id: UUID
    number: str
    product: str
    type: str
    priority: Priority
    status: Status
    created_at: datetime
    status_since: datetime
    episode: int
    episode_since: datetime
    first_response_at: datetime | None
    resolved_at: datetime | None
    reopened_at: datetime | None
    reopenings: int
    submitter_id: str
    submitter_email: str
    tier: str
    sequence: int
    tags: tuple[str, ...] = ()
    last_public_at: datetime | None = None
    last_public_by: str | None = None
    """Who wrote the last public message: `submitter`, `agent`, `product` or `automation`."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Since when nobody has had a ticket, as routing last told; None while somebody has it."""

    unassigned_since: datetime | None
    sequence: int
    team: str = ""
    agent: str | None = None
    """Who has it: the address, else the id."""
    agent_name: str = field(default="", compare=False)
    since: datetime | None = field(default=None, compare=False)
    """Since when it is so; not kept."""


@dataclass(frozen=True, slots=True)
class SourceEvent:
    """An event of another service that led to something."""

    id: str
    type: str
    source: str


@dataclass(frozen=True, slots=True)
class Repetition:
    """How often the submitter has come with this issue, and the event that told so."""

    count: int
    event: SourceEvent
