"""Tickets as people and peers read them: with what routing and sla said, in pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from waybill_intake.domain.attachments import Attachment
from waybill_intake.domain.facts import Facts
from waybill_intake.domain.ticket import Ticket
from waybill_intake.store.facts import of_row
from waybill_intake.store.rows import to_ticket
from waybill_intake.store.tickets import COLUMNS, SOURCE

FACTS = (
    "f.routing_sequence, f.agent_id, f.agent_name, f.agent_email, f.team, f.sla_sequence, "
    "f.response_state, f.response_due_at, f.resolution_state, f.resolution_due_at, "
    "f.escalation_level, f.assigned_at, f.triaged_version, f.kb_sequence, f.suspected"
)
_VIEW = f"SELECT {COLUMNS}, {FACTS} FROM {SOURCE} LEFT JOIN ticket_facts f ON f.ticket_id = t.id"


@dataclass(frozen=True, slots=True)
class Seen:
    """A ticket together with other services' facts."""

    ticket: Ticket
    facts: Facts
    files: Sequence[Attachment] | None = None
    """Those that came with its opening; None where nobody has looked."""


async def see(connection: AsyncConnection, ticket_id: UUID) -> Seen | None:
    """One ticket."""
    row = (await connection.execute(text(f"{_VIEW} WHERE t.id = :id"), {"id": ticket_id})).first()
    return None if row is None else Seen(to_ticket(row), of_row(row))


_SEQUENCED = (
    f"SELECT {COLUMNS}, coalesce(q.value, 0) AS sequence FROM {SOURCE} "
    "LEFT JOIN event_sequence q ON q.source = '/waybill/intake' AND q.aggregateid = t.id::text"
)
_CHANGED = text(
    f"""
    {_SEQUENCED}
    WHERE (CAST(:since AS timestamptz) IS NULL OR t.updated_at >= :since)
    AND (CAST(:at AS timestamptz) IS NULL OR (t.updated_at, t.id) > (:at, CAST(:id AS uuid)))
    AND (NOT :some OR t.id = ANY(CAST(:ids AS uuid[])))
    ORDER BY t.updated_at, t.id LIMIT :limit
    """
)


async def changed(
    connection: AsyncConnection,
    *,
    since: datetime | None,
    after: tuple[datetime, UUID] | None,
    ids: Sequence[UUID] | None,
    limit: int,
) -> list[tuple[Ticket, int]]:
    """Tickets with the number of their last event, in the order they changed."""
    at, id = after or (None, None)
    rows = await connection.execute(
        _CHANGED,
        {
            "since": since,
            "at": at,
            "id": id,
            "some": ids is not None,
            "ids": list(ids or ()),
            "limit": limit,
        },
    )
    return [(to_ticket(row), row.sequence) for row in rows]


async def sequence_of(connection: AsyncConnection, ticket_id: UUID) -> int:
    """The number of the ticket's last event."""
    found = await connection.execute(
        text(
            "SELECT value FROM event_sequence "
            "WHERE source = '/waybill/intake' AND aggregateid = :id"
        ),
        {"id": str(ticket_id)},
    )
    return found.scalar() or 0
