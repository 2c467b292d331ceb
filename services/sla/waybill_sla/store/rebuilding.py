"""A rebuild of what reports are made of: asked for or not, and how far it has come."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

_STATE = text("SELECT asked_at, after, done_at FROM judging")
_ASK = text(
    """
    UPDATE judging SET asked_at = coalesce(asked_at, :now), after = NULL
    RETURNING asked_at, after, done_at
    """
)
_CLAIM = text(
    """
    SELECT asked_at, after, done_at FROM judging WHERE asked_at IS NOT NULL
    FOR UPDATE SKIP LOCKED
    """
)
_FOLLOWING = text(
    """
    SELECT ticket_id FROM clocks
    WHERE CAST(:after AS uuid) IS NULL OR ticket_id > CAST(:after AS uuid)
    ORDER BY ticket_id LIMIT :most
    """
)
_ADVANCE = text("UPDATE judging SET after = :after")
_FINISH = text("UPDATE judging SET asked_at = NULL, after = NULL, done_at = :now")


@dataclass(frozen=True, slots=True)
class Rebuild:
    """Since when one is asked for, after which ticket it goes on, when the last one ended."""

    asked_at: datetime | None
    after: UUID | None
    done_at: datetime | None


async def state(connection: AsyncConnection) -> Rebuild:
    """Whether one is asked for."""
    return Rebuild(*(await connection.execute(_STATE)).one())


async def ask(connection: AsyncConnection, now: datetime) -> Rebuild:
    """Ask for one; one that is under way begins again."""
    return Rebuild(*(await connection.execute(_ASK, {"now": now})).one())


async def claim(connection: AsyncConnection) -> Rebuild | None:
    """The one that is asked for, locked; None if there is none or somebody is at it."""
    row = (await connection.execute(_CLAIM)).first()
    return None if row is None else Rebuild(*row)


async def following(connection: AsyncConnection, after: UUID | None, most: int) -> list[UUID]:
    """The next tickets."""
    rows = await connection.execute(_FOLLOWING, {"after": after, "most": most})
    return list(rows.scalars())


async def advance(connection: AsyncConnection, after: UUID) -> None:
    """It has come so far."""
    await connection.execute(_ADVANCE, {"after": after})


async def finish(connection: AsyncConnection, now: datetime) -> None:
    """It is done."""
    await connection.execute(_FINISH, {"now": now})
