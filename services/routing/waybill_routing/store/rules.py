"""Rules as people write them, and the tickets that they are tried on."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from waybill_chassis.database import UnitOfWork

from waybill_routing.domain import CONDITIONS, Rule, Ticket
from waybill_routing.store.rows import CASE, RULE, case_of, rule_of

_ALL = text(f"SELECT {RULE} FROM rules AS r ORDER BY r.position, r.id")

_INSERT = text(
    """
    INSERT INTO rules (id, position, queue, name, enabled, product, type, priority, language, tier,
                       tags_any, tags_all, text, version)
    VALUES (:id, :position, :queue, :name, :enabled, :product, :type, :priority, :language, :tier,
            :tags_any, :tags_all, :text, :version)
    ON CONFLICT DO NOTHING RETURNING id
    """
)

_UPDATE = text(
    """
    UPDATE rules SET position = :position, queue = :queue, name = :name, enabled = :enabled,
        product = :product, type = :type, priority = :priority, language = :language,
        tier = :tier, tags_any = :tags_any, tags_all = :tags_all, text = :text, version = :version
    WHERE id = :id
    """
)

_PLACE = text(
    """
    UPDATE rules AS r SET position = i.position, version = r.version + 1
    FROM unnest(CAST(:ids AS uuid[]), CAST(:positions AS integer[])) AS i (id, position)
    WHERE r.id = i.id AND r.position <> i.position
    """
)

_DELETE = text("DELETE FROM rules WHERE id = :id")

# Ids are in the order of the openings.
_LAST = text(
    f"""
    SELECT {CASE} FROM assignments AS a WHERE a.intake_sequence > 0
      AND (CAST(:product AS text) IS NULL OR a.product = CAST(:product AS text))
      AND (CAST(:products AS text[]) IS NULL OR a.product = ANY (CAST(:products AS text[])))
    ORDER BY a.ticket_id DESC LIMIT :limit
    """
)


async def everything(connection: AsyncConnection) -> list[Rule]:
    """All rules in the order they are asked."""
    return [rule_of(row) for row in await connection.execute(_ALL)]


async def insert(uow: UnitOfWork, rule: Rule) -> bool:
    """Add a rule, whose queue must be there; False when the name is taken."""
    return (await uow.execute(_INSERT, _values(rule))).first() is not None


async def update(uow: UnitOfWork, rule: Rule) -> None:
    """Replace what a rule says."""
    await uow.execute(_UPDATE, _values(rule))


async def place(uow: UnitOfWork, rules: Sequence[Rule]) -> None:
    """Write at which position each is asked."""
    await uow.execute(
        _PLACE,
        {"ids": [rule.id for rule in rules], "positions": [rule.position for rule in rules]},
    )


async def delete(uow: UnitOfWork, id: UUID) -> None:
    """Take a rule away."""
    await uow.execute(_DELETE, {"id": id})


async def last_tickets(
    connection: AsyncConnection,
    *,
    product: str | None,
    products: Sequence[str] | None,
    limit: int,
) -> list[Ticket]:
    """The tickets that were opened last, newest first, as they are now; None means any product."""
    rows = await connection.execute(
        _LAST, {"product": product, "products": products, "limit": limit}
    )
    return [case_of(row).ticket for row in rows]


def _values(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "position": rule.position,
        "queue": rule.queue,
        "name": rule.name,
        "enabled": rule.enabled,
        "version": rule.version,
    } | {name: list(getattr(rule, name)) for name in CONDITIONS}
