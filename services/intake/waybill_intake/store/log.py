"""The processing log: one line for each event about a ticket, whoever told it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from waybill_chassis.database import UnitOfWork

from waybill_intake.store.rows import as_json


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line of the log."""

    ticket_id: UUID
    event_id: str
    source: str
    type: str
    occurred_at: datetime
    recorded_at: datetime
    actor_kind: str
    actor_id: str
    actor_name: str
    cause_kind: str
    cause_id: str
    cause_type: str
    summary: str
    trace_id: str | None
    position: int = 0


_COLUMNS = (
    "ticket_id, event_id, source, type, occurred_at, recorded_at, actor_kind, actor_id, "
    "actor_name, cause_kind, cause_id, cause_type, summary, trace_id"
)
_INSERT = text(
    f"""
    INSERT INTO ticket_log ({_COLUMNS})
    SELECT {_COLUMNS} FROM json_populate_recordset(NULL::ticket_log, CAST(:rows AS json))
    ON CONFLICT (event_id, source) DO NOTHING
    """
)
_READ = text(
    f"""
    SELECT {_COLUMNS}, position FROM ticket_log
    WHERE ticket_id = :ticket_id
    AND (CAST(:at AS timestamptz) IS NULL OR (occurred_at, position) > (:at, :position))
    AND (CAST(:source AS text) IS NULL OR source = :source)
    AND (CAST(:type AS text) IS NULL OR type = :type OR split_part(type, '.', 4) = :type)
    ORDER BY occurred_at, position LIMIT :limit
    """
)


async def insert(uow: UnitOfWork, lines: Sequence[Line]) -> None:
    """Write lines; one that is there already stays as it is."""
    if lines:
        uow.later(_INSERT, {"rows": as_json(lines)})


async def read(
    connection: AsyncConnection,
    ticket_id: UUID,
    *,
    after: tuple[datetime, int] | None,
    limit: int,
    source: str | None = None,
    type: str | None = None,
) -> list[Line]:
    """A ticket's log after a place in it, in the order things happened.

    `type` is an event's whole type or its last word, such as `TicketAssigned`.
    """
    at, position = after or (None, 0)
    rows = await connection.execute(
        _READ,
        {
            "ticket_id": ticket_id,
            "at": at,
            "position": position,
            "limit": limit,
            "source": source,
            "type": type,
        },
    )
    return [Line(**row._asdict()) for row in rows]
