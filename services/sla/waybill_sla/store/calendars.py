"""Calendars with all their versions. A version never changes, so it is read and made once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from waybill_sla.domain.calendar import WorkingCalendar, plan_of
from waybill_sla.domain.ledger import ALWAYS, Calendar

Key = tuple[UUID, int]

_made: dict[Key, Calendar] = {(ALWAYS.id, ALWAYS.version): ALWAYS}

_VERSIONS = text(
    """
    SELECT v.calendar_id AS id, v.version, c.name, v.document, v.days_off
    FROM unnest(CAST(:ids AS uuid[]), CAST(:versions AS bigint[])) AS w (id, version)
    JOIN calendar_versions AS v ON v.calendar_id = w.id AND v.version = w.version
    JOIN calendars AS c ON c.id = v.calendar_id
    """
)

_CURRENT = """
    SELECT c.id, c.name, c.version, c.removed, c.created_at, v.document, v.days_off, v.changed_at,
           v.changed_by
    FROM calendars AS c JOIN calendar_versions AS v ON v.calendar_id = c.id
        AND v.version = c.version
    """
_LIST = text(
    f"""
    {_CURRENT}
    WHERE NOT c.removed AND (CAST(:after AS text) IS NULL OR c.name > CAST(:after AS text))
    ORDER BY c.name LIMIT :most
    """
)
_ONE = text(f"{_CURRENT} WHERE c.name = :name")

_PUT = text(
    """
    INSERT INTO calendars (id, name, version, created_at) VALUES (:id, :name, :version, :now)
    ON CONFLICT (name) DO UPDATE SET version = excluded.version, removed = false
    """
)
_PUT_VERSION = text(
    """
    INSERT INTO calendar_versions (
        calendar_id, version, document, days_off, changed_at, changed_by)
    VALUES (:id, :version, CAST(:document AS jsonb), CAST(:days_off AS date[]), :now, :by)
    """
)
_REMOVE = text("UPDATE calendars SET removed = true WHERE name = :name")

_USERS = text(
    """
    SELECT DISTINCT p.name FROM policies AS p JOIN policy_versions AS v ON v.policy_id = p.id
    WHERE v.calendar = :name
      AND ((v.version = p.version AND NOT p.removed) OR EXISTS (
          SELECT FROM clocks AS c
          WHERE c.policy_id = p.id AND c.policy_version = v.version
            AND c.state IN ('running', 'paused')))
    ORDER BY p.name
    """
)

# Whoever reads an agreement reads calendars, too. So this waits until all have finished that
# still go by the old one, and the next begin only when the new one is there.
# Others wait behind it: it gives up soon where somebody reads for long, as a backup does.
_ALONE = (
    text("SET LOCAL lock_timeout = '2s'"),
    text("LOCK TABLE calendars IN ACCESS EXCLUSIVE MODE"),
)


@dataclass(frozen=True, slots=True)
class Kept:
    """A calendar as it stands: what was written, and the holidays that it meant then."""

    id: UUID
    name: str
    version: int
    removed: bool
    created_at: datetime
    document: Mapping[str, Any]
    days_off: tuple[date, ...]
    changed_at: datetime
    changed_by: str

    def made(self) -> Calendar:
        """It, to count with."""
        return make(self.id, self.version, self.name, self.document, self.days_off)


async def known(connection: AsyncConnection, keys: Iterable[Key]) -> Mapping[Key, Calendar]:
    """These versions of calendars, those read before from memory."""
    missing = [key for key in set(keys) if key not in _made]
    if missing:
        ids, versions = zip(*missing, strict=True)
        rows = await connection.execute(_VERSIONS, {"ids": list(ids), "versions": list(versions)})
        for row in rows.all():
            _made[row.id, row.version] = make(
                row.id, row.version, row.name, row.document, row.days_off
            )
    return _made


def make(
    id: UUID, version: int, name: str, document: Mapping[str, Any], days_off: Iterable[date]
) -> Calendar:
    """A version of a calendar, to count with."""
    if id == ALWAYS.id:
        return ALWAYS
    return WorkingCalendar(id, version, plan_of(document, days_off), name)


async def calendars(connection: AsyncConnection, *, after: str | None, most: int) -> list[Kept]:
    """All that may be used, by name."""
    rows = await connection.execute(_LIST, {"after": after, "most": most})
    return [_kept(row) for row in rows.all()]


async def calendar(connection: AsyncConnection, name: str) -> Kept | None:
    """One of them, even if it was removed."""
    row = (await connection.execute(_ONE, {"name": name})).first()
    return None if row is None else _kept(row)


def _kept(row: Any) -> Kept:
    return Kept(**dict(row._mapping) | {"days_off": tuple(row.days_off)})


async def change_alone(connection: AsyncConnection) -> None:
    """Nobody reads an agreement until the commit, and whoever has read one has finished."""
    for statement in _ALONE:
        await connection.execute(statement)


async def put_calendar(connection: AsyncConnection, kept: Kept) -> None:
    """Keep a new version."""
    await connection.execute(
        _PUT,
        {
            "id": kept.id,
            "name": kept.name,
            "version": kept.version,
            "now": kept.created_at,
        },
    )
    await connection.execute(
        _PUT_VERSION,
        {
            "id": kept.id,
            "version": kept.version,
            "document": to_json(kept.document).decode(),
            "days_off": list(kept.days_off),
            "now": kept.changed_at,
            "by": kept.changed_by,
        },
    )


async def remove_calendar(connection: AsyncConnection, name: str) -> None:
    """Nobody may use it from now on."""
    await connection.execute(_REMOVE, {"name": name})


async def calendar_users(connection: AsyncConnection, name: str) -> list[str]:
    """The policies that use it: now, or in a version that an open clock is pinned to."""
    return list((await connection.execute(_USERS, {"name": name})).scalars())
