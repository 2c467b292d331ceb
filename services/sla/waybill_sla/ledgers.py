"""A ticket's ledger as it is shown, in pages."""

from collections.abc import Sequence
from datetime import datetime
from itertools import islice

from sqlalchemy.ext.asyncio import AsyncConnection

from waybill_sla.domain import lines
from waybill_sla.domain.clock import Clock
from waybill_sla.domain.lines import Line
from waybill_sla.store import ledgers

Place = tuple[int, datetime]
"""Where a line stands: its stretch, and when it began."""


async def page(
    connection: AsyncConnection, clock: Clock, now: datetime, *, place: Place | None, most: int
) -> tuple[Sequence[Line], Place | None]:
    """At most so many lines from a place on, oldest first, and where to go on."""
    position, since = place or (0, None)
    parts = await ledgers.stretches(connection, clock, position, most + 1)
    if not parts:
        return [], None
    terms = await ledgers.terms(
        connection, clock, since or parts[0][1].started_at, parts[-1][1].ended_at, most + 1
    )
    found = list(islice(lines.lines(clock, parts, terms, now, since), most + 1))
    if len(found) <= most:
        return found, None
    following = found[most]
    return found[:most], (following.position, following.started_at)


async def last_lines(
    connection: AsyncConnection, clock: Clock, now: datetime, most: int
) -> Sequence[Line]:
    """The lines of the last so many stretches, at most ten times as many."""
    known = clock.earlier.lines + len(clock.segments)
    parts = await ledgers.stretches(connection, clock, max(known - most, 0), most)
    terms = await ledgers.terms(connection, clock, parts[0][1].started_at, None, most)
    return list(islice(lines.lines(clock, parts, terms, now), 10 * most))
