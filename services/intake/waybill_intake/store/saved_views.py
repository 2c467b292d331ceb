"""Saved views: kept questions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from waybill_chassis.database import UnitOfWork

from waybill_intake.store.finding.asked import Order, Sort
from waybill_intake.store.rows import as_json


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedView:
    """A filter and a sorting under a name: an `owner`'s own, or a `team`'s for some products."""

    id: UUID
    name: str
    owner: str | None
    team: str | None
    products: tuple[str, ...]
    filter: Mapping[str, Any]
    sort: Sort
    direction: Order
    version: int
    created_at: datetime
    updated_at: datetime


_READ = text("SELECT * FROM saved_views WHERE id = :id")
_LOCK = text("SELECT * FROM saved_views WHERE id = :id FOR UPDATE")
_VISIBLE = text(
    """
    SELECT * FROM saved_views
    WHERE (owner = :owner OR (team IS NOT NULL AND
           (:every OR products && CAST(:products AS text[]))))
    AND (CAST(:after AS uuid) IS NULL OR id > :after)
    ORDER BY id LIMIT :limit
    """
)
_HOW_MANY = text(
    "SELECT count(*) FROM saved_views "
    "WHERE owner IS NOT DISTINCT FROM :owner AND team IS NOT DISTINCT FROM :team"
)
_WRITE = text(
    """
    INSERT INTO saved_views
    SELECT * FROM json_populate_recordset(NULL::saved_views, CAST(:rows AS json))
    ON CONFLICT (id) DO UPDATE SET
        name = excluded.name, products = excluded.products, filter = excluded.filter,
        sort = excluded.sort, direction = excluded.direction, version = excluded.version,
        updated_at = excluded.updated_at
    """
)
_DELETE = text("DELETE FROM saved_views WHERE id = :id")
_FORGET = text("DELETE FROM saved_views WHERE position(:email IN lower(name || filter::text)) > 0")


async def read(connection: AsyncConnection, id: UUID) -> SavedView | None:
    """A view."""
    row = (await connection.execute(_READ, {"id": id})).first()
    return None if row is None else _of_row(row)


async def lock(uow: UnitOfWork, id: UUID) -> SavedView | None:
    """A view that nobody else changes until the commit."""
    row = (await uow.execute(_LOCK, {"id": id})).first()
    return None if row is None else _of_row(row)


async def visible(
    connection: AsyncConnection,
    owner: str,
    products: Sequence[str] | None,
    *,
    after: UUID | None,
    limit: int,
) -> list[SavedView]:
    """Somebody's own views and those of teams for one of `products` (None: all), oldest first."""
    rows = await connection.execute(
        _VISIBLE,
        {
            "owner": owner,
            "every": products is None,
            "products": list(products or ()),
            "after": after,
            "limit": limit,
        },
    )
    return [_of_row(row) for row in rows]


async def how_many(uow: UnitOfWork, owner: str | None, team: str | None) -> int:
    """How many views somebody has, or a team."""
    return (await uow.execute(_HOW_MANY, {"owner": owner, "team": team})).scalar() or 0


async def write(uow: UnitOfWork, view: SavedView) -> None:
    """Write a view, new or changed."""
    await uow.execute(_WRITE, {"rows": as_json([view])})


async def delete(uow: UnitOfWork, id: UUID) -> None:
    """Remove a view."""
    await uow.execute(_DELETE, {"id": id})


async def forget(uow: UnitOfWork, email: str) -> None:
    """Remove the views that are about somebody with this (lower-case) address."""
    await uow.execute(_FORGET, {"email": email})


def _of_row(row: Any) -> SavedView:
    found = dict(row._mapping)
    found |= {
        "products": tuple(row.products),
        "sort": Sort(row.sort),
        "direction": Order(row.direction),
    }
    return SavedView(**found)
