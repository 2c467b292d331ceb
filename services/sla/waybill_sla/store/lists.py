"""Questions about many clocks, and how a ticket is found by its number."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

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
