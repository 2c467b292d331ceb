"""Quick replies."""

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection
from waybill_chassis.database import UnitOfWork

from waybill_kb.domain.quick_replies import Body, QuickReply

_COLUMNS = "id, name, title, bodies, products, version, created_at, updated_at"


def _reply(row: Row[Any]) -> QuickReply:
    return QuickReply(
        id=row.id,
        name=row.name,
        title=row.title,
        bodies=tuple(Body(body["language"], body["text"]) for body in row.bodies),
        products=tuple(row.products),
        version=row.version,
        created_at=row.created_at,
        updated_at=row.updated_at,
    )


async def find(connection: AsyncConnection, id_or_name: str) -> QuickReply | None:
    """A quick reply by its id or its name."""
    found = await connection.execute(
        text(f"SELECT {_COLUMNS} FROM quick_replies WHERE name = :it OR id::text = lower(:it)"),
        {"it": id_or_name},
    )
    return _reply(row) if (row := found.first()) else None


async def page(
    connection: AsyncConnection,
    *,
    products: Sequence[str] | None,
    product: str | None,
    after: str | None,
    limit: int,
) -> list[QuickReply]:
    """Quick replies by name; `products` as for articles."""
    rows = await connection.execute(
        text(
            f"""
            SELECT {_COLUMNS} FROM quick_replies
            WHERE (CAST(:products AS text[]) IS NULL OR products = '{{}}'
                   OR products && CAST(:products AS text[]))
              AND (CAST(:product AS text) IS NULL OR products = '{{}}' OR :product = ANY(products))
              AND (CAST(:after AS text) IS NULL OR name COLLATE "C" > :after)
            ORDER BY name COLLATE "C" LIMIT :limit
            """
        ),
        {
            "products": None if products is None else list(products),
            "product": product,
            "after": after,
            "limit": limit,
        },
    )
    return [_reply(row) for row in rows]


async def insert(uow: UnitOfWork, reply: QuickReply) -> bool:
    """Write a new quick reply; False when its name or id is taken."""
    done = await uow.execute(
        text(
            f"""
            INSERT INTO quick_replies ({_COLUMNS})
            VALUES (:id, :name, :title, CAST(:bodies AS jsonb), :products, :version,
                    :created_at, :updated_at)
            ON CONFLICT DO NOTHING
            """
        ),
        {
            "id": reply.id,
            "name": reply.name,
            "title": reply.title,
            "bodies": json.dumps(
                [{"language": body.language, "text": body.text} for body in reply.bodies]
            ),
            "products": list(reply.products),
            "version": reply.version,
            "created_at": reply.created_at,
            "updated_at": reply.updated_at,
        },
    )
    return bool(done.rowcount)
