"""Playbooks: what is configured where. A place that is emptied keeps its version."""

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from waybill_chassis.database import UnitOfWork

from waybill_intake.domain.playbooks import (
    EVERY_PRODUCT,
    Place,
    Playbook,
    Playbooks,
    Point,
    built_in,
)
from waybill_intake.domain.words import TicketType

_READ = text(
    "SELECT * FROM playbooks WHERE product = ANY(CAST(:products AS text[])) AND points IS NOT NULL"
)
_PLACES = text(
    """
    SELECT k.product, k.type, coalesce(p.version, 0) AS version, p.points, p.updated_at,
           p.updated_by
    FROM (
        SELECT '*' AS product, unnest(CAST(:types AS text[])) AS type
        UNION SELECT product, type FROM playbooks WHERE points IS NOT NULL
    ) AS k LEFT JOIN playbooks p ON p.product = k.product AND p.type = k.type
    WHERE (CAST(:products AS text[]) IS NULL OR k.product = '*' OR k.product = ANY(:products))
    AND (CAST(:product AS text) IS NULL OR (k.product, k.type) > (:product, :type))
    ORDER BY k.product, k.type LIMIT :limit
    """
)
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('playbook/' || :product, 0))")
_VERSIONS = text("SELECT type, version FROM playbooks WHERE product = :product")
_WRITE = text(
    """
    INSERT INTO playbooks AS p (product, type, points, version, updated_at, updated_by)
    VALUES (:product, :type, CAST(:points AS jsonb), 1, :at, :by)
    ON CONFLICT (product, type) DO UPDATE SET points = excluded.points,
        version = p.version + 1, updated_at = excluded.updated_at, updated_by = excluded.updated_by
    """
)


def _of_row(row: Any) -> Playbook:
    return Playbook(
        product=row.product,
        type=TicketType(row.type),
        points=tuple(Point(**point) for point in row.points),
        version=row.version,
        updated_at=row.updated_at,
        updated_by=row.updated_by,
    )


async def read(connection: AsyncConnection, products: Iterable[str]) -> Playbooks:
    """The playbooks of these products as they stand."""
    wanted = set(products)
    rows = await connection.execute(_READ, {"products": sorted(wanted | {EVERY_PRODUCT})})
    return Playbooks(wanted, map(_of_row, rows))


async def places(
    connection: AsyncConnection,
    *,
    products: Sequence[str] | None,
    after: tuple[str, str] | None,
    limit: int,
) -> list[Place]:
    """What counts for every product, and what these (None: all) have of their own."""
    product, type = after or (None, None)
    rows = await connection.execute(
        _PLACES,
        {
            "types": [type.value for type in TicketType],
            "products": None if products is None else list(products),
            "product": product,
            "type": type,
            "limit": limit,
        },
    )
    return [
        Place(
            row.product,
            built_in(TicketType(row.type)) if row.points is None else _of_row(row),
            row.version,
        )
        for row in rows
    ]


async def places_of(connection: AsyncConnection, product: str) -> list[Place]:
    """What counts for each type of a product's tickets, by type."""
    known = await read(connection, [product])
    rows = await connection.execute(_VERSIONS, {"product": product})
    versions = {row.type: row.version for row in rows}
    return [
        Place(product, known.of(product, type), versions.get(type.value, 0))
        for type in sorted(TicketType)
    ]


async def place(connection: AsyncConnection, product: str, type: TicketType) -> Place:
    """What counts for a product and type, and how often it was configured there."""
    found = {place.playbook.type: place for place in await places_of(connection, product)}
    return found[type]


async def lock(uow: UnitOfWork, product: str, type: TicketType) -> Place:
    """A place that nobody else writes until the commit."""
    await uow.execute(_LOCK, {"product": product})
    return await place(uow.connection, product, type)


async def write(
    uow: UnitOfWork,
    product: str,
    type: TicketType,
    points: Sequence[Point] | None,
    *,
    at: datetime,
    by: str,
) -> None:
    """Keep the points of a locked place as its next version; None removes them."""
    await uow.execute(
        _WRITE,
        {
            "product": product,
            "type": type.value,
            "points": None if points is None else to_json([asdict(one) for one in points]).decode(),
            "at": at,
            "by": by,
        },
    )
