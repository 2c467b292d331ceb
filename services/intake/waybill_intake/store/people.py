"""The people tickets are for: found, shown, and erased."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from waybill_chassis.database import UnitOfWork

from waybill_intake.domain.people import Known


@dataclass(frozen=True, slots=True, kw_only=True)
class Sketch:
    """A person in a list, with the tickets that the caller may see of them."""

    id: UUID
    email: str
    name: str
    open: int
    total: int
    first_seen: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Portrait(Sketch):
    """A person on their own page."""

    tiers: tuple[str, ...]
    average_rating: float | None
    ratings: int
    last_seen: datetime
    erased_at: datetime | None


_SEEN = "(CAST(:products AS text[]) IS NULL OR t.product = ANY(CAST(:products AS text[])))"
_COUNTS = """
    count(*) AS total, count(*) FILTER (WHERE t.status <> 'closed') AS open,
    min(t.created_at) AS first_seen
"""
_FIND = {
    "": "",
    "email": "AND s.email = lower(:wanted)",
    # Each word of the name as it begins.
    "name": """
        AND to_tsvector('simple', s.name) @@ (
            SELECT coalesce(string_agg(quote_literal(word) || ':*', ' & '), '')
            FROM unnest(tsvector_to_array(to_tsvector('simple', :wanted))) AS word
        )::tsquery
    """,
}
_PERSON = text("SELECT id, email, name, erased_at FROM submitters WHERE id = :id")
_LOCK_PERSON = text("SELECT id, email, name, erased_at FROM submitters WHERE id = :id FOR UPDATE")
_PORTRAIT = text(
    f"""
    SELECT s.id, coalesce(s.email, '') AS email, s.name, s.erased_at, {_COUNTS},
           avg(t.rating_score) AS average_rating, count(t.rating_score) AS ratings,
           max(t.created_at) AS last_seen,
           coalesce(array_agg(DISTINCT t.submitter_tier) FILTER (WHERE t.submitter_tier <> ''),
                    '{{}}') AS tiers
    FROM submitters s JOIN tickets t ON t.submitter_id = s.id
    WHERE s.id = :id AND {_SEEN}
    GROUP BY s.id
    """
)
_RENAME = text("UPDATE submitters SET name = :name WHERE id = :id")
_FORGET = text(
    """
    UPDATE submitters SET email = NULL, name = '', erased_at = :now,
        erasing_for = NULL, erasing_at = NULL
    WHERE id = :id
    """
)
_ERASING = text(
    """
    UPDATE submitters SET erasing_for = CAST(:asked AS jsonb), erasing_at = :now WHERE id = :id
    """
)
_UNFINISHED = text(
    """
    SELECT id, erasing_for FROM submitters
    WHERE erasing_at < :before ORDER BY erasing_at LIMIT :limit
    """
)
_COUNT_ERASED = text(
    "SELECT count(*) FROM tickets WHERE submitter_id = :id AND erased_at IS NOT NULL"
)

# Their own tickets first: what they wrote in others' or watch may be very much.
_CONCERNED = text(
    """
    SELECT id, bool_or(own) AS own FROM (
        SELECT id, true AS own FROM tickets WHERE submitter_id = :id AND erased_at IS NULL
        UNION ALL
        SELECT ticket_id, false FROM messages
        WHERE author_kind = 'submitter' AND author_email <> '' AND lower(author_email) = :email
        UNION ALL
        SELECT id, false FROM tickets WHERE watchers <> '[]'
        AND watchers @> jsonb_build_array(jsonb_build_object('email', CAST(:email AS text)))
    ) AS found
    GROUP BY id ORDER BY own DESC, id LIMIT :limit
    """
)


async def find(
    connection: AsyncConnection,
    by: str,
    wanted: str,
    *,
    products: Sequence[str] | None,
    after: UUID | None,
    limit: int,
) -> list[Sketch]:
    """People by their `email` or `name` (or all, with ""), who have tickets of these products."""
    rows = await connection.execute(
        text(
            f"""
            SELECT s.id, s.email, s.name, c.* FROM submitters s
            CROSS JOIN LATERAL (
                SELECT {_COUNTS} FROM tickets t WHERE t.submitter_id = s.id AND {_SEEN}
            ) AS c
            WHERE s.email IS NOT NULL AND c.total > 0 {_FIND[by]}
            AND (CAST(:after AS uuid) IS NULL OR s.id < :after)
            ORDER BY s.id DESC LIMIT :limit
            """
        ),
        {
            "products": None if products is None else list(products),
            "after": after,
            "limit": limit,
        }
        | ({"wanted": wanted} if by else {}),
    )
    return [Sketch(**row._mapping) for row in rows]


async def portrait(
    connection: AsyncConnection, id: UUID, products: Sequence[str] | None
) -> Portrait | None:
    """A person with counts of their tickets of these products; None if there are none."""
    row = (
        await connection.execute(
            _PORTRAIT, {"id": id, "products": None if products is None else list(products)}
        )
    ).first()
    if row is None:
        return None
    average = None if row.average_rating is None else round(float(row.average_rating), 2)
    return Portrait(
        **dict(row._mapping) | {"tiers": tuple(sorted(row.tiers)), "average_rating": average}
    )


async def id_of_email(connection: AsyncConnection, email: str) -> UUID | None:
    """Who has this (lower-case) address."""
    found = await connection.execute(
        text("SELECT id FROM submitters WHERE email = :email"), {"email": email}
    )
    return found.scalar()


async def person(connection: AsyncConnection, id: UUID) -> Known | None:
    """A person, erased or not."""
    row = (await connection.execute(_PERSON, {"id": id})).first()
    return None if row is None else Known(row.id, row.email or "", row.name, row.erased_at)


async def lock_person(uow: UnitOfWork, id: UUID) -> Known:
    """A known person, locked: nobody opens a ticket for them until the commit.

    Whoever locks tickets too locks them before.
    """
    row = (await uow.execute(_LOCK_PERSON, {"id": id})).one()
    return Known(row.id, row.email or "", row.name, row.erased_at)


async def rename(uow: UnitOfWork, id: UUID, name: str) -> None:
    """Write a person's name."""
    await uow.execute(_RENAME, {"id": id, "name": name})


async def forget(uow: UnitOfWork, id: UUID) -> None:
    """Forget who this was; the next ticket for the same address is somebody else's."""
    await uow.execute(_FORGET, {"id": id, "now": uow.now})


async def erasing(uow: UnitOfWork, id: UUID, asked: Mapping[str, Any]) -> None:
    """Note that an erasure has come this far, and for whom: whatever happens now, it goes on."""
    await uow.execute(_ERASING, {"id": id, "asked": json.dumps(asked), "now": uow.now})


async def unfinished(
    connection: AsyncConnection, *, before: datetime, limit: int
) -> dict[UUID, dict[str, Any]]:
    """Erasures whose last step was done before that moment, and for whom they are."""
    rows = await connection.execute(_UNFINISHED, {"before": before, "limit": limit})
    return {row.id: row.erasing_for for row in rows}


async def concerned(connection: AsyncConnection, person: Known, limit: int) -> dict[UUID, bool]:
    """Tickets that hold something of the person, and whether they are their own."""
    rows = await connection.execute(
        _CONCERNED, {"id": person.id, "email": person.email, "limit": limit}
    )
    return {row.id: row.own for row in rows}


async def erased_tickets(connection: AsyncConnection, id: UUID) -> int:
    """How many tickets an erased person has."""
    return int((await connection.execute(_COUNT_ERASED, {"id": id})).scalar_one())
