"""Ledgers: all lines for what looks back, and pages of them for whoever reads."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection

from waybill_sla.domain.clock import Clock, Dating
from waybill_sla.domain.ledger import Segment
from waybill_sla.domain.lines import Terms
from waybill_sla.domain.telling import StartReason
from waybill_sla.domain.words import Priority, Status

_BEFORE = text(
    """
    SELECT s.ticket_id, s.status, s.started_at, s.ended_at, s.event_id
    FROM unnest(CAST(:ids AS uuid[]), CAST(:lines AS integer[])) AS w (id, lines)
    JOIN segments AS s ON s.ticket_id = w.id AND s.position < w.lines
    ORDER BY s.ticket_id, s.position
    """
)
_PAGE = text(
    """
    SELECT position, status, started_at, ended_at, event_id FROM segments
    WHERE ticket_id = :id AND position >= :position AND position < :before
    ORDER BY position LIMIT :most
    """
)

# Of several in one instant the last is in force.
_DATINGS = text(
    """
    SELECT d.*, p.name AS policy, c.name AS calendar
    FROM (
        (SELECT * FROM datings
         WHERE ticket_id = :id AND at <= :since AND position < :count
         ORDER BY at DESC, position DESC LIMIT 1)
        UNION ALL
        (SELECT DISTINCT ON (at) * FROM datings
         WHERE ticket_id = :id AND at > :since AND position < :count
           AND (CAST(:until AS timestamptz) IS NULL OR at < CAST(:until AS timestamptz))
         ORDER BY at, position DESC LIMIT :most)
    ) AS d
    JOIN policies AS p ON p.id = d.policy_id JOIN calendars AS c ON c.id = d.calendar_id
    ORDER BY d.at, d.position
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


async def stretches(
    connection: AsyncConnection, clock: Clock, position: int, most: int
) -> list[tuple[int, Segment]]:
    """At most so many stretches of a clock from `position` on, as they were when it was read."""
    asked = {
        "id": clock.ticket_id,
        "position": position,
        "before": clock.earlier.lines,
        "most": most,
    }
    found = [(row.position, segment(row)) for row in (await connection.execute(_PAGE, asked)).all()]
    at_hand = enumerate(clock.segments, clock.earlier.lines)
    return [*found, *(each for each in at_hand if each[0] >= position)][:most]


async def terms(
    connection: AsyncConnection, clock: Clock, since: datetime, until: datetime | None, most: int
) -> list[Terms]:
    """By what a clock was dated at `since`, and then until `until`; at most so many changes."""
    asked = {
        "id": clock.ticket_id,
        "since": since,
        "until": until,
        "count": clock.datings_before + len(clock.datings),
        "most": most,
    }
    return [_terms(row) for row in (await connection.execute(_DATINGS, asked)).all()]


def segment(row: Row[Any]) -> Segment:
    """A line from its row."""
    return Segment(Status(row.status), row.started_at, row.ended_at, row.event_id)


def _terms(row: Row[Any]) -> Terms:
    dating = Dating(
        row.at,
        StartReason(row.reason),
        row.event_id,
        row.policy_id,
        row.policy_version,
        row.calendar_id,
        row.calendar_version,
        Priority(row.priority),
        row.type,
    )
    return Terms(dating, row.policy, row.calendar)
