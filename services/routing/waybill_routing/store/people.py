"""Agents: locked, given their loads, and found."""

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from waybill_chassis.database import UnitOfWork

from waybill_routing.domain import Agent
from waybill_routing.store.rows import AGENT, agent_of

# Everybody of a team, whoever is available: one who becomes so at this moment either is seen here
# or waits for us, and then finds what we put into the queue.
_LOCK = text(
    """
    SELECT g.id FROM agents AS g
    WHERE g.id = ANY (CAST(:ids AS uuid[]))
       OR g.id IN (SELECT m.agent_id FROM agent_teams AS m
                   WHERE m.team = ANY (CAST(:teams AS text[])))
    ORDER BY g.id FOR NO KEY UPDATE OF g
    """
)

# Read after the locks are held: a statement that waited for a lock still sees old teams.
_HELD = text(
    f"""
    SELECT {AGENT} FROM agents AS g
    WHERE g.id = ANY (CAST(:ids AS uuid[])) AND g.removed_at IS NULL ORDER BY g.id
    """
)

_MEMBERS = text(
    f"""
    SELECT {AGENT} FROM agents AS g
    WHERE g.presence = 'available' AND g.removed_at IS NULL
      AND g.id IN (SELECT m.agent_id FROM agent_teams AS m
                   WHERE m.team = ANY (CAST(:teams AS text[])))
    """
)

_WRITE_LOADS = text(
    """
    UPDATE agents AS g SET open_tickets = i.open_tickets, load = i.load,
        last_assigned_at = i.last_assigned_at
    FROM unnest(CAST(:ids AS uuid[]), CAST(:open_tickets AS integer[]), CAST(:load AS integer[]),
                CAST(:last_assigned_at AS timestamptz[]))
        AS i (id, open_tickets, load, last_assigned_at)
    WHERE g.id = i.id
    """
)

_COUNTED = text(
    """
    SELECT agent_id, count(*) AS held, sum(weight) AS load FROM assignments
    WHERE agent_id = ANY (CAST(:ids AS uuid[])) AND is_open GROUP BY agent_id
    """
)

_BY_EMAIL = text(
    f"SELECT {AGENT} FROM agents AS g WHERE g.email = lower(:email) AND g.removed_at IS NULL"
)

_BY_ID = text(f"SELECT {AGENT} FROM agents AS g WHERE g.id = :id AND g.removed_at IS NULL")

_PAGE = text(
    f"""
    SELECT {AGENT} FROM agents AS g
    WHERE g.removed_at IS NULL AND (CAST(:after AS text) IS NULL OR g.email > CAST(:after AS text))
      AND (CAST(:team AS text) IS NULL
           OR EXISTS (SELECT FROM agent_teams AS m WHERE m.agent_id = g.id AND m.team = :team))
    ORDER BY g.email LIMIT :limit
    """
)


async def lock(
    uow: UnitOfWork, ids: Collection[UUID] = (), teams: Collection[str] = ()
) -> list[Agent]:
    """Hold these agents and everybody in these teams.

    Whose duty was to end by now is off duty, whether or not that was written down yet.
    """
    if not ids and not teams:
        return []
    rows = await uow.execute(_LOCK, {"ids": sorted(ids), "teams": sorted(teams)})
    held = await uow.execute(_HELD, {"ids": [row.id for row in rows]})
    return [agent_of(row, uow.now) for row in held]


async def members(connection: AsyncConnection, teams: Collection[str]) -> tuple[Agent, ...]:
    """Whoever of these teams is available, as they are, held by nobody."""
    rows = await connection.execute(_MEMBERS, {"teams": sorted(teams)})
    return tuple(agent_of(row) for row in rows)


async def write_loads(uow: UnitOfWork, agents: Sequence[Agent]) -> None:
    """Write how much locked agents hold now."""
    if agents:
        await uow.execute(
            _WRITE_LOADS,
            {
                "ids": [agent.id for agent in agents],
                "open_tickets": [agent.open_tickets for agent in agents],
                "load": [agent.load for agent in agents],
                "last_assigned_at": [agent.last_assigned_at for agent in agents],
            },
        )


async def counted(uow: UnitOfWork, ids: Collection[UUID]) -> dict[UUID, tuple[int, int]]:
    """How many open tickets these locked agents hold, and their weight, by the tickets."""
    found = dict.fromkeys(ids, (0, 0))
    for row in await uow.execute(_COUNTED, {"ids": list(ids)}):
        found[row.agent_id] = row.held, row.load
    return found


async def all_ids(uow: UnitOfWork) -> list[UUID]:
    """Everybody there is."""
    return [row.id for row in await uow.execute(text("SELECT id FROM agents"))]


async def by_email(connection: AsyncConnection, email: str) -> Agent | None:
    """The agent with this address, in whatever case it is written."""
    row = (await connection.execute(_BY_EMAIL, {"email": email})).first()
    return None if row is None else agent_of(row)


async def by_id(connection: AsyncConnection, id: UUID) -> Agent | None:
    """One agent."""
    row = (await connection.execute(_BY_ID, {"id": id})).first()
    return None if row is None else agent_of(row)


async def page(
    connection: AsyncConnection, *, after: str | None, team: str | None, limit: int
) -> list[Agent]:
    """Agents by address."""
    rows = await connection.execute(_PAGE, {"after": after, "team": team, "limit": limit})
    return [agent_of(row) for row in rows]
