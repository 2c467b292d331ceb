"""Queues and the rules that lead to them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from waybill_chassis.database import UnitOfWork

from waybill_routing.domain import CONDITIONS, Queue, Rule
from waybill_routing.store.rows import RULE, queue_of, rule_of

_QUEUES = text("SELECT slug, team, strategy, version FROM queues ORDER BY slug")

_RULES = text(f"SELECT {RULE} FROM rules AS r ORDER BY r.position, r.id")

_WAITING = text(
    """
    SELECT q.slug, q.team, q.strategy, q.version, count(a.ticket_id) AS waiting,
           min(a.waiting_since) AS oldest_since
    FROM queues AS q LEFT JOIN assignments AS a
      ON a.state = 'queued' AND a.is_open AND a.team = q.team AND a.queue = q.slug
    WHERE CAST(:after AS text) IS NULL OR q.slug > CAST(:after AS text)
    GROUP BY q.slug ORDER BY q.slug LIMIT :limit
    """
)

_INSERT_QUEUE = text(
    """
    INSERT INTO queues (slug, team, strategy) VALUES (:slug, :team, :strategy)
    ON CONFLICT DO NOTHING RETURNING slug
    """
)

_INSERT_RULE = text(
    """
    INSERT INTO rules (id, position, queue, name, enabled, product, type, priority, language, tier,
                       tags_any, tags_all, text, version)
    VALUES (:id, :position, :queue, :name, :enabled, :product, :type, :priority, :language, :tier,
            :tags_any, :tags_all, :text, :version)
    """
)

_RULE_PAGE = text(
    f"""
    SELECT {RULE} FROM rules AS r
    WHERE CAST(:position AS integer) IS NULL
       OR (r.position, r.id) > (CAST(:position AS integer), CAST(:id AS uuid))
    ORDER BY r.position, r.id LIMIT :limit
    """
)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A queue and what waits in it."""

    queue: Queue
    waiting: int
    oldest_since: datetime | None


async def ways(connection: AsyncConnection) -> tuple[dict[str, Queue], list[Rule]]:
    """All queues by slug, and all rules in the order they are asked."""
    queues = [queue_of(row) for row in await connection.execute(_QUEUES)]
    rules = [rule_of(row) for row in await connection.execute(_RULES)]
    return {queue.slug: queue for queue in queues}, rules


async def queue_page(
    connection: AsyncConnection, *, after: str | None, limit: int
) -> Sequence[Waiting]:
    """Queues by slug, with how many open tickets wait in each."""
    rows = await connection.execute(_WAITING, {"after": after, "limit": limit})
    return [Waiting(queue_of(row), row.waiting, row.oldest_since) for row in rows]


async def rule_page(
    connection: AsyncConnection, *, after: tuple[int, UUID] | None, limit: int
) -> list[Rule]:
    """Rules in the order they are asked."""
    rows = await connection.execute(
        _RULE_PAGE, {"position": after and after[0], "id": after and after[1], "limit": limit}
    )
    return [rule_of(row) for row in rows]


async def insert_queue(uow: UnitOfWork, queue: Queue) -> bool:
    """Add a queue; False when the slug is there already."""
    made = await uow.execute(
        _INSERT_QUEUE, {"slug": queue.slug, "team": queue.team, "strategy": queue.strategy}
    )
    return made.first() is not None


async def insert_rule(uow: UnitOfWork, rule: Rule) -> None:
    """Add a rule; its queue must be there."""
    await uow.execute(
        _INSERT_RULE,
        {
            "id": rule.id,
            "position": rule.position,
            "queue": rule.queue,
            "name": rule.name,
            "enabled": rule.enabled,
            **{name: list(getattr(rule, name)) for name in CONDITIONS},
            "version": rule.version,
        },
    )
