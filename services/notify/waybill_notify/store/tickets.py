"""What notify knows of tickets, and which products have a feed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from waybill_chassis.database import UnitOfWork


@dataclass(frozen=True, slots=True)
class Picture:
    """What notify knows of a ticket. `ticket` is intake's own message, empty for a stub."""

    ticket_id: UUID
    sequence: int = 0
    product: str = ""
    ticket: bytes = b""
    assignment_sequence: int = 0
    assignee_id: str = ""
    assignee_name: str = ""
    team: str = ""
    held: bytes | None = None
    erased: bool = False
    """Whether its submitter was erased: nothing of them is taken in any more."""


# Sorted, both of them, so that batches never wait for one another in a circle.
_STUBS = text(
    """
    INSERT INTO tickets (id)
    SELECT id FROM unnest(CAST(:ids AS uuid[])) AS id ORDER BY id
    ON CONFLICT DO NOTHING
    """
)
_PICTURES = """
    SELECT id AS ticket_id, sequence, product, ticket, assignment_sequence, assignee_id,
           assignee_name, team, held, erased
    FROM tickets WHERE id = ANY (CAST(:ids AS uuid[])) ORDER BY id
"""
_READ_PICTURES = text(_PICTURES)
_LOCK_PICTURES = text(_PICTURES + " FOR UPDATE")
_SAVE_PICTURES = text(
    """
    UPDATE tickets AS p
    SET sequence = n.sequence, product = n.product, ticket = n.ticket,
        assignment_sequence = n.assignment_sequence, assignee_id = n.assignee_id,
        assignee_name = n.assignee_name, team = n.team, held = n.held, erased = n.erased
    FROM unnest(
        CAST(:ticket_id AS uuid[]), CAST(:sequence AS bigint[]), CAST(:product AS text[]),
        CAST(:ticket AS bytea[]), CAST(:assignment_sequence AS bigint[]),
        CAST(:assignee_id AS text[]), CAST(:assignee_name AS text[]), CAST(:team AS text[]),
        CAST(:held AS bytea[]), CAST(:erased AS boolean[])
    ) AS n (ticket_id, sequence, product, ticket, assignment_sequence, assignee_id, assignee_name,
            team, held, erased)
    WHERE p.id = n.ticket_id
    """
)
_FEEDS = text("SELECT product FROM feeds")
_LEARN = text(
    """
    INSERT INTO feeds (product, learned_at)
    SELECT product, :now FROM unnest(CAST(:products AS text[])) AS product ORDER BY product
    ON CONFLICT DO NOTHING
    """
)


async def lock_pictures(uow: UnitOfWork, ids: Iterable[UUID]) -> dict[UUID, Picture]:
    """The pictures of these tickets, locked; stubs for those nobody has spoken of yet."""
    wanted = {"ids": sorted(set(ids))}
    if not wanted["ids"]:
        return {}
    await uow.execute(_STUBS, wanted)
    rows = await uow.execute(_LOCK_PICTURES, wanted)
    return {row.ticket_id: Picture(**row._mapping) for row in rows}


async def read_pictures(connection: AsyncConnection, ids: Sequence[UUID]) -> dict[UUID, Picture]:
    """The pictures of these tickets as they stand; unknown ones are left out."""
    rows = await connection.execute(_READ_PICTURES, {"ids": list(ids)})
    return {row.ticket_id: Picture(**row._mapping) for row in rows}


async def save_pictures(uow: UnitOfWork, pictures: Sequence[Picture]) -> None:
    """Write pictures that were locked before."""
    if pictures:
        names = Picture.__dataclass_fields__
        await uow.execute(
            _SAVE_PICTURES, {name: [getattr(p, name) for p in pictures] for name in names}
        )


async def feeds(uow: UnitOfWork) -> frozenset[str]:
    """The products that are known to have a feed."""
    return frozenset((await uow.execute(_FEEDS)).scalars())


async def learn_feeds(uow: UnitOfWork, products: Iterable[str]) -> None:
    """Remember that these products have a feed."""
    if found := sorted(set(products)):
        await uow.execute(_LEARN, {"products": found, "now": uow.now})
