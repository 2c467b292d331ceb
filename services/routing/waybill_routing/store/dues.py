"""When tickets that wait are due, as sla said last."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from waybill_chassis.database import UnitOfWork

_STALE = text(
    """
    SELECT a.ticket_id FROM queues AS q
    JOIN assignments AS a ON a.queue = q.slug AND a.state = 'queued' AND a.is_open
    WHERE q.strategy = 'smart' AND (a.asked_at IS NULL OR a.asked_at < :before)
    ORDER BY a.asked_at NULLS FIRST, a.ticket_id LIMIT :limit
    """
)

# What somebody else holds at this moment is asked for again.
_WRITE = text(
    """
    WITH held AS (
        SELECT a.ticket_id FROM assignments AS a WHERE a.ticket_id = ANY (CAST(:ids AS uuid[]))
        ORDER BY a.ticket_id FOR NO KEY UPDATE SKIP LOCKED
    )
    UPDATE assignments AS a SET due_at = COALESCE(i.due_at, a.due_at), asked_at = :now
    FROM unnest(CAST(:ids AS uuid[]), CAST(:dues AS timestamptz[])) AS i (ticket_id, due_at)
    JOIN held AS h ON h.ticket_id = i.ticket_id
    WHERE a.ticket_id = h.ticket_id
    """
)


async def stale(
    connection: AsyncConnection, now: datetime, age: timedelta, limit: int
) -> list[UUID]:
    """Tickets that wait where it matters, and of which sla was not asked for so long."""
    rows = await connection.execute(_STALE, {"before": now - age, "limit": limit})
    return [row.ticket_id for row in rows]


async def write(uow: UnitOfWork, ids: Sequence[UUID], dues: Mapping[UUID, datetime]) -> None:
    """Keep what sla said of these tickets; of whom it said nothing, what was known stays."""
    await uow.execute(
        _WRITE, {"ids": list(ids), "dues": [dues.get(id) for id in ids], "now": uow.now}
    )
