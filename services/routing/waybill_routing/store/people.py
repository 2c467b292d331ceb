"""Agents and their teams: locked, written and read."""

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from waybill_chassis.database import UnitOfWork

from waybill_routing.domain import Agent, Team
from waybill_routing.store.rows import AGENT, agent_of, team_of

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
    f"SELECT {AGENT} FROM agents AS g WHERE g.id = ANY (CAST(:ids AS uuid[])) ORDER BY g.id"
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

_INSERT = text(
    """
    INSERT INTO agents (id, email, name, capacity, presence, presence_since)
    VALUES (:id, :email, :name, :capacity, :presence, :presence_since)
    ON CONFLICT DO NOTHING RETURNING id
    """
)

_UPDATE = text(
    """
    UPDATE agents SET name = :name, capacity = :capacity,
        presence = :presence, presence_since = :presence_since, version = :version
    WHERE id = :id
    """
)

_JOIN = text(
    """
    INSERT INTO agent_teams (agent_id, team, position)
    SELECT :id, t.team, t.position
    FROM unnest(CAST(:teams AS text[])) WITH ORDINALITY AS t (team, position)
    """
)

_LEAVE = text("DELETE FROM agent_teams WHERE agent_id = :id")

_SKILL = text(
    """
    INSERT INTO agent_skills (agent_id, kind, value, level)
    SELECT :id, s.* FROM unnest(CAST(:kinds AS text[]), CAST(:values AS text[]),
                                CAST(:levels AS smallint[])) AS s
    """
)

_UNSKILL = text("DELETE FROM agent_skills WHERE agent_id = :id")

_BY_EMAIL = text(f"SELECT {AGENT} FROM agents AS g WHERE g.email = lower(:email)")

_BY_ID = text(f"SELECT {AGENT} FROM agents AS g WHERE g.id = :id")

_PAGE = text(
    f"""
    SELECT {AGENT} FROM agents AS g
    WHERE (CAST(:after AS text) IS NULL OR g.email > CAST(:after AS text))
      AND (CAST(:team AS text) IS NULL
           OR EXISTS (SELECT FROM agent_teams AS m WHERE m.agent_id = g.id AND m.team = :team))
    ORDER BY g.email LIMIT :limit
    """
)

_TEAM_PAGE = text(
    """
    SELECT slug, name, escalation_level, version FROM teams
    WHERE CAST(:after AS text) IS NULL OR slug > CAST(:after AS text) ORDER BY slug LIMIT :limit
    """
)

_KNOWN_TEAMS = text("SELECT slug FROM teams WHERE slug = ANY (CAST(:teams AS text[]))")

_INSERT_TEAM = text(
    """
    INSERT INTO teams (slug, name, escalation_level) VALUES (:slug, :name, :escalation_level)
    ON CONFLICT DO NOTHING RETURNING slug
    """
)


async def lock(
    uow: UnitOfWork, ids: Collection[UUID] = (), teams: Collection[str] = ()
) -> list[Agent]:
    """Hold these agents and everybody in these teams."""
    if not ids and not teams:
        return []
    rows = await uow.execute(_LOCK, {"ids": sorted(ids), "teams": sorted(teams)})
    held = await uow.execute(_HELD, {"ids": [row.id for row in rows]})
    return [agent_of(row) for row in held]


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


async def insert(uow: UnitOfWork, agent: Agent) -> bool:
    """Add an agent; False when the id or the address is there already."""
    made = await uow.execute(
        _INSERT,
        {
            "id": agent.id,
            "email": agent.email,
            "name": agent.name,
            "capacity": agent.capacity,
            "presence": agent.presence,
            "presence_since": agent.presence_since,
        },
    )
    if made.first() is None:
        return False
    await _write_parts(uow, agent)
    return True


async def update(uow: UnitOfWork, agent: Agent) -> None:
    """Write what people decide about a locked agent."""
    await uow.execute(
        _UPDATE,
        {
            "id": agent.id,
            "name": agent.name,
            "capacity": agent.capacity,
            "presence": agent.presence,
            "presence_since": agent.presence_since,
            "version": agent.version,
        },
    )
    await uow.execute(_LEAVE, {"id": agent.id})
    await uow.execute(_UNSKILL, {"id": agent.id})
    await _write_parts(uow, agent)


async def _write_parts(uow: UnitOfWork, agent: Agent) -> None:
    await uow.execute(_JOIN, {"id": agent.id, "teams": list(agent.teams)})
    await uow.execute(
        _SKILL,
        {
            "id": agent.id,
            "kinds": [skill.kind for skill in agent.skills],
            "values": [skill.value for skill in agent.skills],
            "levels": [skill.level for skill in agent.skills],
        },
    )


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


async def team_page(connection: AsyncConnection, *, after: str | None, limit: int) -> list[Team]:
    """Teams by slug."""
    rows = await connection.execute(_TEAM_PAGE, {"after": after, "limit": limit})
    return [team_of(row) for row in rows]


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
