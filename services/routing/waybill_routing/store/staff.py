"""Agents as people decide about them: their skills, teams, shifts and absences."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from waybill_chassis.database import UnitOfWork

from waybill_routing.domain import Absence, Agent, Duty, Presence, Schedule

_INSERT = text(
    """
    INSERT INTO agents (id, email, name, capacity, presence, presence_since)
    VALUES (:id, :email, :name, :capacity, :presence, :presence_since)
    ON CONFLICT DO NOTHING RETURNING id
    """
)

_UPDATE = text(
    "UPDATE agents SET name = :name, capacity = :capacity, version = :version WHERE id = :id"
)

_WRITE_PRESENCES = text(
    """
    UPDATE agents AS g SET presence = i.presence, presence_since = i.presence_since,
        silent_from = i.silent_from, version = i.version,
        present_since = CASE
            WHEN i.presence NOT IN ('available', 'busy') AND i.silent_from IS NULL THEN NULL
            WHEN g.presence IN ('available', 'busy') OR g.silent_from IS NOT NULL
                THEN g.present_since
            ELSE i.presence_since END
    FROM unnest(CAST(:ids AS uuid[]), CAST(:presence AS text[]),
                CAST(:presence_since AS timestamptz[]), CAST(:silent_from AS text[]),
                CAST(:version AS bigint[]))
        AS i (id, presence, presence_since, silent_from, version)
    WHERE g.id = i.id
    """
)

_SPEAK = text("UPDATE agents SET silent_from = NULL WHERE id = :id AND silent_from IS NOT NULL")

_STOOD = text("SELECT id FROM agents WHERE stand_in = :id")

_FORGET_PARTS = text(
    """
    WITH t AS (DELETE FROM agent_teams WHERE agent_id = :id),
         s AS (DELETE FROM agent_skills WHERE agent_id = :id)
    DELETE FROM absences WHERE agent_id = :id
    """
)

_WRITE_PARTS = text(
    """
    WITH t AS (
        INSERT INTO agent_teams (agent_id, team, position)
        SELECT :id, t.team, t.position
        FROM unnest(CAST(:teams AS text[])) WITH ORDINALITY AS t (team, position)
    ), s AS (
        INSERT INTO agent_skills (agent_id, kind, value, level)
        SELECT :id, s.* FROM unnest(CAST(:kinds AS text[]), CAST(:values AS text[]),
                                    CAST(:levels AS smallint[])) AS s
    )
    INSERT INTO absences (agent_id, begins, ends, reason, stand_in)
    SELECT :id, a.* FROM unnest(CAST(:begins AS timestamptz[]), CAST(:ends AS timestamptz[]),
                                CAST(:reasons AS text[]), CAST(:stand_ins AS uuid[])) AS a
    """
)

_WRITE_SHIFTS = text("UPDATE agents SET shifts = CAST(:shifts AS jsonb) WHERE id = :id")

_WRITE_DUTIES = text(
    """
    UPDATE agents AS g SET on_duty = i.on_duty, stand_in = i.stand_in, duty_until = i.duty_until,
        duty_since = CASE WHEN i.on_duty AND NOT g.on_duty THEN :now ELSE g.duty_since END
    FROM unnest(CAST(:ids AS uuid[]), CAST(:on_duty AS boolean[]), CAST(:stand_in AS uuid[]),
                CAST(:duty_until AS timestamptz[])) AS i (id, on_duty, stand_in, duty_until)
    WHERE g.id = i.id
    """
)

_SHIFTS = text("SELECT id, shifts FROM agents WHERE id = ANY (CAST(:ids AS uuid[]))")

_ABSENCES = text(
    """
    SELECT a.agent_id, a.begins, a.ends, a.reason, a.stand_in, g.email
    FROM absences AS a LEFT JOIN agents AS g ON g.id = a.stand_in
    WHERE a.agent_id = ANY (CAST(:ids AS uuid[])) ORDER BY a.agent_id, a.begins
    """
)

_DUE = text("SELECT id FROM agents WHERE duty_until <= :now ORDER BY duty_until LIMIT :limit")

_IDS = text(
    """
    SELECT email, id FROM agents
    WHERE email = ANY (CAST(:emails AS text[])) AND removed_at IS NULL
    """
)

_SEE = text(
    """
    INSERT INTO sightings AS s (agent_id, seen_at)
    SELECT g.id, :seen_at FROM agents AS g
    WHERE g.email = ANY (CAST(:emails AS text[])) AND g.removed_at IS NULL ORDER BY g.id
    ON CONFLICT (agent_id) DO UPDATE SET seen_at = excluded.seen_at
    WHERE s.seen_at < excluded.seen_at - INTERVAL '1 minute'
    """
)

_SILENT = text(
    """
    SELECT g.id FROM agents AS g JOIN sightings AS s ON s.agent_id = g.id
    WHERE g.presence IN ('available', 'busy') AND g.removed_at IS NULL
      AND g.presence_since < :before AND s.seen_at < :before
    LIMIT :limit
    """
)

_HEARD_AGAIN = text(
    """
    SELECT g.id, g.silent_from FROM agents AS g JOIN sightings AS s ON s.agent_id = g.id
    WHERE g.silent_from IS NOT NULL AND g.presence = 'away' AND s.seen_at >= g.presence_since
    LIMIT :limit
    """
)

_REMOVE = text(
    """
    UPDATE agents SET removed_at = :now, presence = 'offline', presence_since = :now,
        version = version + 1, silent_from = NULL, duty_until = NULL, stand_in = NULL
    WHERE id = :id
    """
)

_LEAVE_ABSENT = text("UPDATE absences SET stand_in = NULL WHERE stand_in = :id")

_LEAVE_STOOD = text("UPDATE agents SET stand_in = NULL WHERE stand_in = :id")


async def insert(uow: UnitOfWork, agent: Agent, schedule: Schedule) -> bool:
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
    await _write_parts(uow, agent, schedule)
    return True


async def update(uow: UnitOfWork, agent: Agent, schedule: Schedule) -> None:
    """Write what is decided about a locked agent, but for their presence."""
    await uow.execute(
        _UPDATE,
        {
            "id": agent.id,
            "name": agent.name,
            "capacity": agent.capacity,
            "version": agent.version,
        },
    )
    await uow.execute(_FORGET_PARTS, {"id": agent.id})
    await _write_parts(uow, agent, schedule)


async def write_presences(
    uow: UnitOfWork, agents: Sequence[Agent], silent_from: Mapping[UUID, Presence] = {}
) -> None:
    """Write who of locked agents is there; `silent_from`: as what the silent ones were known."""
    await uow.execute(
        _WRITE_PRESENCES,
        {
            "ids": [agent.id for agent in agents],
            "presence": [agent.presence for agent in agents],
            "presence_since": [agent.presence_since for agent in agents],
            "silent_from": [silent_from.get(agent.id) for agent in agents],
            "version": [agent.version for agent in agents],
        },
    )


async def speak(uow: UnitOfWork, id: UUID) -> None:
    """A locked agent is as they say from now on, whatever they were before they fell silent."""
    await uow.execute(_SPEAK, {"id": id})


async def _write_parts(uow: UnitOfWork, agent: Agent, schedule: Schedule) -> None:
    shifts = None if schedule.shifts is None else to_json(schedule.shifts).decode()
    await uow.execute(_WRITE_SHIFTS, {"id": agent.id, "shifts": shifts})
    await uow.execute(
        _WRITE_PARTS,
        {
            "id": agent.id,
            "teams": list(agent.teams),
            "kinds": [skill.kind for skill in agent.skills],
            "values": [skill.value for skill in agent.skills],
            "levels": [skill.level for skill in agent.skills],
            "begins": [absence.begins for absence in schedule.absences],
            "ends": [absence.ends for absence in schedule.absences],
            "reasons": [absence.reason for absence in schedule.absences],
            "stand_ins": [absence.stand_in for absence in schedule.absences],
        },
    )


async def schedules(connection: AsyncConnection, ids: Collection[UUID]) -> dict[UUID, Schedule]:
    """When these agents work."""
    absences: dict[UUID, list[Absence]] = {}
    for row in await connection.execute(_ABSENCES, {"ids": list(ids)}):
        absences.setdefault(row.agent_id, []).append(
            Absence(row.begins, row.ends, row.reason, row.stand_in, row.email or "")
        )
    shifts = await connection.execute(_SHIFTS, {"ids": list(ids)})
    return {row.id: Schedule(row.shifts, tuple(absences.get(row.id, ()))) for row in shifts}


async def write_duties(uow: UnitOfWork, duties: Mapping[UUID, Duty]) -> None:
    """Write what the schedules of locked agents mean now."""
    await uow.execute(
        _WRITE_DUTIES,
        {
            "ids": list(duties),
            "on_duty": [duty.on for duty in duties.values()],
            "stand_in": [duty.stand_in for duty in duties.values()],
            "duty_until": [duty.until for duty in duties.values()],
            "now": uow.now,
        },
    )


async def due(uow: UnitOfWork, limit: int) -> list[UUID]:
    """Agents whose shift or absence has begun or ended since that was written."""
    return [row.id for row in await uow.execute(_DUE, {"now": uow.now, "limit": limit})]


async def ids_of(uow: UnitOfWork, emails: Collection[str]) -> dict[str, UUID]:
    """The agents with these addresses."""
    rows = await uow.execute(_IDS, {"emails": list(emails)})
    return {row.email: row.id for row in rows}


async def see(uow: UnitOfWork, emails: Collection[str], at: datetime) -> None:
    """Keep that these people did something; to the minute, whoever of them is an agent."""
    await uow.execute(_SEE, {"emails": sorted(emails), "seen_at": at})


async def silent(uow: UnitOfWork, before: datetime, limit: int) -> list[UUID]:
    """Who is said to be there and was last seen before this; nobody who was never seen."""
    return [row.id for row in await uow.execute(_SILENT, {"before": before, "limit": limit})]


async def heard_again(uow: UnitOfWork, limit: int) -> dict[UUID, Presence]:
    """Who was silent and is no longer, and what they were before."""
    rows: Sequence[Any] = (await uow.execute(_HEARD_AGAIN, {"limit": limit})).all()
    return {row.id: Presence(row.silent_from) for row in rows}


async def stood_in_for(uow: UnitOfWork, id: UUID) -> list[UUID]:
    """Whose stand-in this agent is at present."""
    return [row.id for row in await uow.execute(_STOOD, {"id": id})]


async def remove(uow: UnitOfWork, id: UUID) -> None:
    """Take a locked agent out of everything; the row stays, for what they did bears their name."""
    await uow.execute(_REMOVE, {"id": id, "now": uow.now})
    await uow.execute(_FORGET_PARTS, {"id": id})
    await uow.execute(_LEAVE_ABSENT, {"id": id})
    await uow.execute(_LEAVE_STOOD, {"id": id})
