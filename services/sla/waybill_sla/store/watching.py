"""What is at risk, and the log of its changes that those who watch are told from.

Positions in the log are snapshots of the database: what is not visible in one is news after it,
however long its transaction took and in whatever order transactions commit. Changes of one ticket
come in their order, since they are made under its lock.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from pydantic import TypeAdapter
from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from waybill_sla.domain.clock import Clock
from waybill_sla.domain.ledger import Calendar
from waybill_sla.domain.watching import RiskChange, Scope, Watched, risk_changes
from waybill_sla.store.calendars import Key, known
from waybill_sla.store.narrowing import asked, narrowed

KEPT = timedelta(hours=1)
"""How long the log is kept."""

MOST_CHANGES = 5000
"""Whoever has missed more is better off with all that is at risk."""

_WATCHED = TypeAdapter(Watched)

_PUT = text(
    """
    INSERT INTO risk_changes (at, before, after)
    SELECT now(), one->'before', one->'after'
    FROM jsonb_array_elements(CAST(:rows AS jsonb)) WITH ORDINALITY AS r (one, place)
    ORDER BY place
    """
)
_AT_RISK = text(
    f"""
    SELECT t.ticket_id, c.number, c.product, c.type, c.priority, t.kind AS target, t.state,
           t.due_at, t.warned_share, c.level, coalesce(c.team, '') AS team, c.agent,
           t.calendar_id, t.calendar_version
    FROM targets AS t JOIN clocks AS c USING (ticket_id)
    WHERE t.state = 'at_risk' AND {narrowed("c", kind_of="t")}
      AND (CAST(:after_due AS timestamptz) IS NULL
           OR (t.due_at, t.ticket_id, t.kind) > (
               CAST(:after_due AS timestamptz), CAST(:after_id AS uuid), CAST(:after_kind AS text)))
    ORDER BY t.due_at, t.ticket_id, t.kind LIMIT :most
    """
)
_NOW = text("SELECT CAST(pg_current_snapshot() AS text)")
_SINCE = text(
    """
    SELECT CAST(pg_current_snapshot() AS text) AS now, l.before, l.after
    FROM (SELECT CAST(CAST(:since AS text) AS pg_snapshot) AS since) AS s LEFT JOIN LATERAL (
        SELECT position, before, after FROM risk_changes
        WHERE tx >= pg_snapshot_xmin(s.since) AND NOT pg_visible_in_snapshot(tx, s.since)
        ORDER BY position LIMIT :most
    ) AS l ON true
    ORDER BY l.position
    """
)
_IS_PAST = text(
    """
    SELECT pg_snapshot_xmax(CAST(CAST(:since AS text) AS pg_snapshot))
        <= pg_snapshot_xmax(pg_current_snapshot())
    """
)
_PRUNE = text("DELETE FROM risk_changes WHERE at < now() - CAST(:age AS interval)")

Place = tuple[datetime, UUID, str]
Position = str


@dataclass(frozen=True, slots=True)
class News:
    """What has changed since a position, up to another; without `changes` it is too much."""

    until: Position
    changes: Sequence[RiskChange] | None


async def keep(connection: AsyncConnection, changes: Iterable[tuple[Clock, Clock]]) -> None:
    """Note what those who watch want to know."""
    found = [one for before, after in changes for one in risk_changes(before, after)]
    if found:
        await connection.execute(_PUT, {"rows": to_json(found).decode()})


async def at_risk(
    connection: AsyncConnection, scope: Scope, *, after: Place | None, most: int
) -> list[Watched]:
    """Targets at risk, the one that is due first at the front."""
    due, id, kind = after or (None, None, None)
    rows = await connection.execute(
        _AT_RISK,
        {**asked(scope), "after_due": due, "after_id": id, "after_kind": kind, "most": most},
    )
    return [_WATCHED.validate_python(dict(row._mapping)) for row in rows.all()]


async def calendars(connection: AsyncConnection, shown: Iterable[Watched]) -> dict[Key, Calendar]:
    """The calendars by which these are dated."""
    keys = {(one.calendar_id, one.calendar_version) for one in shown}
    made = await known(connection, keys)
    return {key: made[key] for key in keys}


async def position(connection: AsyncConnection) -> Position:
    """Where the log stands now."""
    return str((await connection.execute(_NOW)).scalar_one())


async def changes_since(connection: AsyncConnection, since: Position) -> News:
    """What has been committed since."""
    rows = (await connection.execute(_SINCE, {"since": since, "most": MOST_CHANGES + 1})).all()
    found = [row for row in rows if row.after is not None]
    if len(found) > MOST_CHANGES:
        return News(rows[0].now, None)
    return News(
        rows[0].now,
        [
            RiskChange(
                _WATCHED.validate_python(row.before) if row.before else None,
                _WATCHED.validate_python(row.after),
            )
            for row in found
        ],
    )


async def is_past(connection: AsyncConnection, position: Position) -> bool:
    """Whether it is a position of this database, and not of what it was before a restore."""
    try:
        return bool((await connection.execute(_IS_PAST, {"since": position})).scalar_one())
    except DBAPIError:
        return False


async def prune(connection: AsyncConnection) -> None:
    """Forget what nobody asks for any more."""
    await connection.execute(_PRUNE, {"age": KEPT})
