"""Questions about many clocks, and how a ticket is found by its number."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from waybill_sla.domain.words import Level, Priority, TargetKind


@dataclass(frozen=True, slots=True)
class AtRisk:
    """A target that may soon be breached."""

    ticket_id: UUID
    number: str
    product: str
    priority: Priority
    kind: TargetKind
    due_at: datetime
    allowed: timedelta
    warned_share: float
    escalation_level: Level
    unassigned_since: datetime | None


_AT_RISK = text(
    """
    SELECT t.ticket_id, c.number, c.product, c.priority, t.kind, t.due_at, t.allowed,
           t.warned_share, c.level, c.unassigned_since
    FROM targets AS t JOIN clocks AS c USING (ticket_id)
    WHERE t.state = 'at_risk'
      AND (:every_product OR c.product = ANY (CAST(:products AS text[])))
      AND (CAST(:after_due AS timestamptz) IS NULL
           OR (t.due_at, t.ticket_id, t.kind) > (
               CAST(:after_due AS timestamptz), CAST(:after_id AS uuid), CAST(:after_kind AS text)))
    ORDER BY t.due_at, t.ticket_id, t.kind LIMIT :most
    """
)

_CHANGED = text(
    """
    SELECT ticket_id, updated_at FROM clocks
    WHERE updated_at IS NOT NULL
      AND (CAST(:since AS timestamptz) IS NULL OR updated_at >= CAST(:since AS timestamptz))
      AND (CAST(:after AS timestamptz) IS NULL
           OR (updated_at, ticket_id) > (CAST(:after AS timestamptz), CAST(:after_id AS uuid)))
      AND (CAST(:ids AS uuid[]) IS NULL OR ticket_id = ANY (CAST(:ids AS uuid[])))
    ORDER BY updated_at, ticket_id LIMIT :most
    """
)

_SEQUENCES = text(
    """
    SELECT aggregateid, value FROM event_sequence
    WHERE source = '/waybill/sla' AND aggregateid = ANY (CAST(:ids AS text[]))
    """
)

_BY_NUMBER = text("SELECT ticket_id FROM clocks WHERE number = :number")


async def at_risk(
    connection: AsyncConnection,
    *,
    products: Sequence[str] | None,
    after: tuple[datetime, UUID, str] | None,
    most: int,
) -> list[AtRisk]:
    """Targets at risk of these products (None: of all), the one with the least time first."""
    due, id, kind = after or (None, None, None)
    rows = await connection.execute(
        _AT_RISK,
        {
            "every_product": products is None,
            "products": list(products or ()),
            "after_due": due,
            "after_id": id,
            "after_kind": kind,
            "most": most,
        },
    )
    return [
        AtRisk(
            ticket_id=row.ticket_id,
            number=row.number,
            product=row.product,
            priority=Priority(row.priority),
            kind=TargetKind(row.kind),
            due_at=row.due_at,
            allowed=row.allowed,
            warned_share=row.warned_share,
            escalation_level=Level(row.level),
            unassigned_since=row.unassigned_since,
        )
        for row in rows.all()
    ]


async def changed_after(
    connection: AsyncConnection,
    *,
    since: datetime | None,
    after: tuple[datetime, UUID] | None,
    ids: Sequence[UUID] | None,
    most: int,
) -> list[tuple[datetime, UUID]]:
    """When clocks last changed, oldest change first."""
    moment, id = after or (None, None)
    rows = await connection.execute(
        _CHANGED,
        {
            "since": since,
            "after": moment,
            "after_id": id,
            "ids": None if ids is None else list(ids),
            "most": most,
        },
    )
    return [(row.updated_at, row.ticket_id) for row in rows.all()]


async def sequences(connection: AsyncConnection, ids: Iterable[UUID]) -> dict[UUID, int]:
    """The number of the last event that was told of each ticket."""
    rows = await connection.execute(_SEQUENCES, {"ids": [str(id) for id in ids]})
    return {UUID(row.aggregateid): row.value for row in rows.all()}


async def id_of_number(connection: AsyncConnection, number: str) -> UUID | None:
    """The id of the ticket with this number, as far as it is known here."""
    id: UUID | None = (
        await connection.execute(_BY_NUMBER, {"number": number})
    ).scalar_one_or_none()
    return id
