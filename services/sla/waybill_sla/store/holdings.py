"""Who had which ticket from when on, and who was at work, as routing told."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from waybill_sla.domain.report import Holding, Presence, Staffing, Stretch, joined
from waybill_sla.domain.ticket import Wait

_PUT = text(
    """
    WITH told AS (
        SELECT * FROM json_populate_recordset(NULL::holdings, CAST(:rows AS json))
    ), added AS (
        INSERT INTO holdings SELECT * FROM told ORDER BY ticket_id, sequence
        ON CONFLICT DO NOTHING
        RETURNING ticket_id, since
    ), named AS (
        INSERT INTO agents AS a
        SELECT n.agent, n.name FROM unnest(CAST(:agents AS text[]), CAST(:names AS text[]))
            AS n (agent, name)
        WHERE NOT EXISTS (SELECT FROM agents o WHERE o.agent = n.agent AND o.name = n.name)
        ORDER BY n.agent
        ON CONFLICT (agent) DO UPDATE SET name = excluded.name
    )
    SELECT DISTINCT ticket_id FROM added AS a JOIN outcomes AS o USING (ticket_id)
    WHERE a.since <= CASE WHEN o.breached THEN o.due_at ELSE coalesce(o.stopped_at, o.due_at) END
    """
)
_OF = text(
    """
    SELECT ticket_id, since, team, agent FROM holdings
    WHERE ticket_id = ANY (CAST(:ids AS uuid[])) ORDER BY ticket_id, since, sequence
    """
)
_NAMES = text("SELECT agent, name FROM agents WHERE agent = ANY (CAST(:agents AS text[]))")

_CAME = text(
    """
    WITH told AS (
        SELECT t.* FROM json_populate_recordset(NULL::attendance, CAST(:rows AS json)) AS t
        WHERE NOT EXISTS (
            SELECT FROM attendance AS a WHERE a.agent = t.agent AND a.sequence >= t.sequence)
    ), ended AS (
        UPDATE attendance AS a SET until = t.since
        FROM (SELECT DISTINCT ON (agent) agent, since FROM told ORDER BY agent, sequence) AS t
        WHERE a.agent = t.agent AND a.until IS NULL
    )
    INSERT INTO attendance
    SELECT agent, sequence, since,
           lead(since) OVER (PARTITION BY agent ORDER BY sequence), present, teams
    FROM told ORDER BY agent, sequence
    ON CONFLICT DO NOTHING
    """
)
_ATTENDANCE = text(
    """
    SELECT agent, since, until, present, teams,
           NOT EXISTS (SELECT FROM attendance AS b
                       WHERE b.agent = a.agent AND b.sequence < a.sequence) AS first
    FROM attendance AS a
    WHERE (teams && CAST(:teams AS text[]) OR agent = ANY (CAST(:agents AS text[])))
      AND since < :till AND (until IS NULL OR until > :since)
    """
)


@dataclass(frozen=True, slots=True)
class Told:
    """What routing told about who has a ticket, and when."""

    ticket_id: UUID
    wait: Wait
    at: datetime


async def keep_holdings(connection: AsyncConnection, told: Sequence[Told]) -> list[UUID]:
    """Know who has these tickets; gives those of which something was decided later already."""
    if not told:
        return []
    rows = [
        {
            "ticket_id": one.ticket_id,
            "sequence": one.wait.sequence,
            "since": one.wait.since or one.at,
            "team": one.wait.team,
            "agent": one.wait.agent,
        }
        for one in told
    ]
    names = {one.wait.agent: one.wait.agent_name for one in told if one.wait.agent_name}
    found = await connection.execute(
        _PUT,
        {"rows": to_json(rows).decode(), "agents": list(names), "names": list(names.values())},
    )
    return list(found.scalars())


async def holdings(connection: AsyncConnection, ids: Iterable[UUID]) -> dict[UUID, list[Holding]]:
    """Who had these tickets, in the order in which they got them."""
    found: dict[UUID, list[Holding]] = {}
    for row in (await connection.execute(_OF, {"ids": list(ids)})).all():
        found.setdefault(row.ticket_id, []).append(Holding(row.since, row.team, row.agent))
    return found


async def keep_attendance(connection: AsyncConnection, told: Sequence[Presence]) -> None:
    """Know who is at work; what is older than what is known changes nothing."""
    if not told:
        return
    rows = [
        {
            "agent": one.agent,
            "sequence": one.sequence,
            "since": one.since,
            "present": one.at_work,
            "teams": one.teams,
        }
        for one in told
    ]
    await connection.execute(_CAME, {"rows": to_json(rows).decode()})


async def staffing(
    connection: AsyncConnection,
    held: Sequence[Holding],
    since: datetime | None,
    till: datetime | None,
) -> Staffing:
    """When the teams and agents of these were at work in a span."""
    if not held or since is None or till is None:
        return Staffing()
    teams = {one.team for one in held if one.team}
    agents = {one.agent for one in held if one.agent}
    rows = await connection.execute(
        _ATTENDANCE,
        {"teams": list(teams), "agents": list(agents), "since": since, "till": till},
    )
    of_teams: dict[str, list[Stretch]] = {}
    of_agents: dict[str, list[Stretch]] = {}
    for row in rows.all():
        stretches = [(row.since, row.until or till)] if row.present else []
        if row.first and since < row.since:
            # What was before anybody told of the agent is not held against the team.
            stretches.append((since, row.since))
        for known, names in ((of_teams, teams.intersection(row.teams)), (of_agents, {row.agent})):
            for name in names:
                known.setdefault(name, []).extend(stretches)
    return Staffing(
        {team: joined(found) for team, found in of_teams.items()},
        {agent: joined(found) for agent, found in of_agents.items()},
    )


async def names(connection: AsyncConnection, agents: Iterable[str]) -> dict[str, str]:
    """What agents are called."""
    rows = await connection.execute(_NAMES, {"agents": sorted(agents)})
    return {row.agent: row.name for row in rows.all()}
