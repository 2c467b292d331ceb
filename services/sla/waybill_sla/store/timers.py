"""Timers that come due: which clocks to take in hand, and what is due in the next seconds."""

from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from waybill_sla.store.clocks import Loaded, complete

EVER = datetime.min.replace(tzinfo=UTC)

_LOOK_PAST = 2000
"""So many timers in the hands of others are looked past to find some that are free."""

# Only clocks are locked, so replicas cannot get into a deadlock over the timers of one. A clock
# that somebody has is skipped, also one that a consumer has: it is looked at again soon.
_CLAIM = text(
    """
    SELECT c.* FROM (
        SELECT set_config('idle_in_transaction_session_timeout', :patience, true)
    ) AS b (brisk) CROSS JOIN (
        SELECT ticket_id FROM timers
        WHERE due_at > :after AND due_at <= :until AND ticket_id <> ALL (CAST(:aside AS uuid[]))
        ORDER BY due_at, id LIMIT :looked_at
    ) AS t CROSS JOIN LATERAL (
        SELECT * FROM clocks WHERE ticket_id = t.ticket_id FOR UPDATE SKIP LOCKED
    ) AS c
    LIMIT :most
    """
)

_NEAR = text(
    """
    SELECT due_at FROM timers
    WHERE due_at > :after AND due_at <= :until AND ticket_id <> ALL (CAST(:aside AS uuid[]))
    ORDER BY due_at LIMIT :most
    """
)


@dataclass(frozen=True, slots=True)
class Span:
    """Timers that are due after a moment and up to another; those of some tickets are left out."""

    until: datetime
    after: datetime = EVER
    aside: tuple[UUID, ...] = ()


@dataclass(frozen=True, slots=True)
class Claimed:
    """The clocks in hand, and by how many due timers."""

    clocks: dict[UUID, Loaded]
    timers: int


async def claim(connection: AsyncConnection, span: Span, most: int, patience: float) -> Claimed:
    """The clocks of about `most` timers of a span that nobody else has at hand, locked.

    Whoever is silent for more than `patience` seconds then loses them: it may be frozen.
    """
    asked = {
        "after": span.after,
        "until": span.until,
        "aside": list(span.aside),
        "most": most,
        "looked_at": most + _LOOK_PAST,
        "patience": f"{round(patience * 1000)}ms",
    }
    rows = (await connection.execute(_CLAIM, asked)).all()
    once = {row.ticket_id: row for row in rows}
    return Claimed(await complete(connection, list(once.values())), len(rows))


async def near(connection: AsyncConnection, span: Span, most: int) -> list[datetime]:
    """When the first timers of a span come due, at most so many, in their order."""
    asked = {"after": span.after, "until": span.until, "aside": list(span.aside), "most": most}
    return list((await connection.execute(_NEAR, asked)).scalars())
