"""Teams, their queues, and the rules that lead to them, as tickets are placed by them."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from waybill_chassis.database import UnitOfWork

from waybill_routing.domain import Queue, Rule, Team
from waybill_routing.store.rows import QUEUE, RULE, queue_of, rule_of, team_of

_QUEUES = text(f"SELECT {QUEUE} FROM queues AS q ORDER BY q.slug")

_RULES = text(f"SELECT {RULE} FROM rules AS r ORDER BY r.position, r.id")

_WAITING = f"""
    SELECT {QUEUE}, count(a.ticket_id) AS waiting,
           min(a.waiting_since) AS oldest_since
    FROM queues AS q LEFT JOIN assignments AS a
      ON a.state = 'queued' AND a.is_open AND a.team = q.team AND a.queue = q.slug
"""

_WAITING_PAGE = text(
    f"""
    {_WAITING}
    WHERE CAST(:after AS text) IS NULL OR q.slug > CAST(:after AS text)
    GROUP BY q.slug ORDER BY q.slug LIMIT :limit
    """
)

_WAITING_ONE = text(f"{_WAITING} WHERE q.slug = :slug GROUP BY q.slug")

_LOCK_QUEUE = text(f"SELECT {QUEUE} FROM queues AS q WHERE q.slug = :slug FOR UPDATE")

_INSERT_QUEUE = text(
    """
    INSERT INTO queues (slug, team, strategy, needs, at_once)
    VALUES (:slug, :team, :strategy, CAST(:needs AS text[]), :at_once)
    ON CONFLICT DO NOTHING RETURNING slug
    """
)

_UPDATE_QUEUE = text(
    """
    UPDATE queues SET team = :team, strategy = :strategy, needs = CAST(:needs AS text[]),
        at_once = :at_once, version = :version
    WHERE slug = :slug
    """
)

_DELETE_QUEUE = text("DELETE FROM queues WHERE slug = :slug")

_TEAM_PAGE = text(
    """
    SELECT slug, name, escalation_level, version FROM teams
    WHERE CAST(:after AS text) IS NULL OR slug > CAST(:after AS text) ORDER BY slug LIMIT :limit
    """
)

_TEAM = text("SELECT slug, name, escalation_level, version FROM teams WHERE slug = :slug")

_LOCK_TEAM = text(
    "SELECT slug, name, escalation_level, version FROM teams WHERE slug = :slug FOR UPDATE"
)

_KNOWN_TEAMS = text("SELECT slug FROM teams WHERE slug = ANY (CAST(:teams AS text[]))")

_INSERT_TEAM = text(
    """
    INSERT INTO teams (slug, name, escalation_level) VALUES (:slug, :name, :escalation_level)
    ON CONFLICT DO NOTHING RETURNING slug
    """
)

_UPDATE_TEAM = text(
    """
    UPDATE teams SET name = :name, escalation_level = :escalation_level, version = :version
    WHERE slug = :slug
    """
)

_DELETE_TEAM = text("DELETE FROM teams WHERE slug = :slug")

_MEMBERS = text(
    """
    SELECT g.email FROM agent_teams AS m JOIN agents AS g ON g.id = m.agent_id
    WHERE m.team = :team ORDER BY g.email
    """
)

_OPEN_IN = text(
    """
    SELECT count(*) AS number FROM assignments
    WHERE state IN ('queued', 'assigned') AND queue = ANY (CAST(:queues AS text[]))
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
    rows = await connection.execute(_WAITING_PAGE, {"after": after, "limit": limit})
    return [Waiting(queue_of(row), row.waiting, row.oldest_since) for row in rows]


async def queue(connection: AsyncConnection, slug: str) -> Waiting | None:
    """A queue, with how many open tickets wait in it."""
    row = (await connection.execute(_WAITING_ONE, {"slug": slug})).first()
    return None if row is None else Waiting(queue_of(row), row.waiting, row.oldest_since)


async def lock_queue(uow: UnitOfWork, slug: str) -> Queue | None:
    """Hold a queue."""
    row = (await uow.execute(_LOCK_QUEUE, {"slug": slug})).first()
    return None if row is None else queue_of(row)


async def insert_queue(uow: UnitOfWork, queue: Queue) -> bool:
    """Add a queue; False when the slug is there already."""
    made = await uow.execute(_INSERT_QUEUE, _row(queue))
    return made.first() is not None


async def update_queue(uow: UnitOfWork, queue: Queue) -> None:
    """Write a locked queue."""
    await uow.execute(_UPDATE_QUEUE, {**_row(queue), "version": queue.version})


def _row(queue: Queue) -> dict[str, object]:
    return {
        "slug": queue.slug,
        "team": queue.team,
        "strategy": queue.strategy,
        "needs": sorted(queue.needs),
        "at_once": queue.at_once,
    }


async def delete_queue(uow: UnitOfWork, slug: str) -> None:
    """Take a locked queue away; no rule may lead to it."""
    await uow.execute(_DELETE_QUEUE, {"slug": slug})


async def held_in(uow: UnitOfWork, queues: Collection[str]) -> int:
    """How many tickets wait in these queues, or belong to them while somebody has them."""
    return int((await uow.execute(_OPEN_IN, {"queues": list(queues)})).scalar_one())


async def team_page(connection: AsyncConnection, *, after: str | None, limit: int) -> list[Team]:
    """Teams by slug."""
    rows = await connection.execute(_TEAM_PAGE, {"after": after, "limit": limit})
    return [team_of(row) for row in rows]


async def team(connection: AsyncConnection, slug: str) -> Team | None:
    """A team."""
    row = (await connection.execute(_TEAM, {"slug": slug})).first()
    return None if row is None else team_of(row)


async def lock_team(uow: UnitOfWork, slug: str) -> Team | None:
    """Hold a team."""
    row = (await uow.execute(_LOCK_TEAM, {"slug": slug})).first()
    return None if row is None else team_of(row)


async def known_teams(uow: UnitOfWork, teams: Collection[str]) -> set[str]:
    """Those of these teams that there are."""
    return {row.slug for row in await uow.execute(_KNOWN_TEAMS, {"teams": list(teams)})}


async def insert_team(uow: UnitOfWork, team: Team) -> bool:
    """Add a team; False when the slug is there already."""
    made = await uow.execute(
        _INSERT_TEAM,
        {"slug": team.slug, "name": team.name, "escalation_level": team.escalation_level},
    )
    return made.first() is not None


async def update_team(uow: UnitOfWork, team: Team) -> None:
    """Write a locked team."""
    await uow.execute(
        _UPDATE_TEAM,
        {
            "slug": team.slug,
            "name": team.name,
            "escalation_level": team.escalation_level,
            "version": team.version,
        },
    )


async def delete_team(uow: UnitOfWork, slug: str) -> None:
    """Take a locked team away; neither agents nor queues may be in it."""
    await uow.execute(_DELETE_TEAM, {"slug": slug})


async def members(uow: UnitOfWork, team: str) -> list[str]:
    """The addresses of a team's agents."""
    return [row.email for row in await uow.execute(_MEMBERS, {"team": team})]
