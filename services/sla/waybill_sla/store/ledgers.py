"""Ledgers as a whole: what looks back reads all lines."""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from waybill_sla.domain.clock import Clock
from waybill_sla.domain.ledger import Segment
from waybill_sla.domain.words import Status

_BEFORE = text(
    """
    SELECT s.ticket_id, s.status, s.started_at, s.ended_at, s.event_id
    FROM unnest(CAST(:ids AS uuid[]), CAST(:lines AS integer[])) AS w (id, lines)
    JOIN segments AS s ON s.ticket_id = w.id AND s.position < w.lines
    ORDER BY s.ticket_id, s.position
    """
)


async def whole(connection: AsyncConnection, clocks: Iterable[Clock]) -> dict[UUID, Clock]:
    """These clocks with all lines of their ledgers at hand."""
    found = {clock.ticket_id: clock for clock in clocks}
    long = [clock for clock in found.values() if clock.earlier.lines]
    if long:
        asked = {
            "ids": [clock.ticket_id for clock in long],
            "lines": [clock.earlier.lines for clock in long],
        }
        before: dict[UUID, list[Segment]] = {}
        for row in (await connection.execute(_BEFORE, asked)).all():
            before.setdefault(row.ticket_id, []).append(segment(row))
        found |= {clock.ticket_id: clock.whole(tuple(before[clock.ticket_id])) for clock in long}
    return found


def segment(row: Row[tuple[object, ...]]) -> Segment:
    """A line from its row."""
    return Segment(Status(row.status), row.started_at, row.ended_at, row.event_id)
