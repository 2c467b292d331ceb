"""Assignments: locked, written and read."""

import json
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from waybill_chassis.database import UnitOfWork

from waybill_routing.domain import Case, Vacancy, urgency
from waybill_routing.store.rows import CASE, case_of

# New rows and locks in one ordered pass: a batch that inserts some and locks others afterwards
# could wait for one that does the same the other way round. `WHERE false` locks and writes nothing.
_MAKE = text(
    """
    INSERT INTO assignments AS a (ticket_id)
    SELECT id FROM unnest(CAST(:ids AS uuid[])) AS i (id) ORDER BY id
    ON CONFLICT (ticket_id) DO UPDATE SET version = a.version WHERE false
    """
)

_HELD = text(f"SELECT {CASE} FROM assignments AS a WHERE a.ticket_id = ANY (CAST(:ids AS uuid[]))")

_LOCK = text(f"SELECT {CASE} FROM assignments AS a WHERE a.ticket_id = :id FOR NO KEY UPDATE")

_LOCK_OF = text(
    f"""
    SELECT {CASE} FROM assignments AS a WHERE a.agent_id = :agent_id
    ORDER BY a.ticket_id FOR NO KEY UPDATE
    """
)

_LOCK_UNTOUCHED = text(
    f"""
    SELECT {CASE} FROM assignments AS a
    WHERE a.agent_id = :agent_id AND a.accepted_at IS NULL AND a.is_open
    ORDER BY a.ticket_id FOR NO KEY UPDATE
    """
)

_UNTOUCHED = text(
    """
    SELECT ticket_id FROM assignments
    WHERE agent_id = :agent_id AND accepted_at IS NULL AND is_open
    """
)

_FIRST_TOUCHED = text(
    """
    SELECT a.ticket_id, a.agent_id, g.email
    FROM unnest(CAST(:ids AS uuid[]), CAST(:emails AS text[])) AS i (ticket_id, email)
    JOIN agents AS g ON g.email = i.email AND g.removed_at IS NULL
    JOIN assignments AS a ON a.ticket_id = i.ticket_id AND a.agent_id = g.id
    WHERE a.accepted_at IS NULL
    """
)

_OF = text("SELECT ticket_id FROM assignments WHERE agent_id = :agent_id")

# One branch a vacancy, so that a full team's queue does not hide that of a team with room, and
# what only others know not what these agents could have. Whoever gave a ticket back is not
# offered it again, which matters when nobody else has room.
_WAITING = f"""
    SELECT w.* FROM jsonb_to_recordset(CAST(:vacancies AS jsonb)) AS v (
        team text, queue text, places integer, only_agent uuid,
        type jsonb, product jsonb, language jsonb, tag jsonb)
    CROSS JOIN LATERAL (
        SELECT {CASE} FROM assignments AS a
        WHERE a.state = 'queued' AND a.is_open AND a.team = v.team
          AND %s
          AND a.ticket_id <> ALL (CAST(:but AS uuid[]))
          AND (v.only_agent IS NULL OR a.given_back_by IS DISTINCT FROM v.only_agent)
          AND (v.type IS NULL OR a.type = '' OR jsonb_exists(v.type, a.type))
          AND (v.product IS NULL OR a.product = '' OR jsonb_exists(v.product, a.product))
          AND (v.language IS NULL OR a.language = '' OR jsonb_exists(v.language, a.language))
          AND (v.tag IS NULL OR a.tags <@ v.tag)
        ORDER BY %s, a.ticket_id
        LIMIT v.places FOR NO KEY UPDATE SKIP LOCKED
    ) AS w
"""

_LOCK_WAITING = text(
    _WAITING
    % ("(v.queue IS NULL OR a.queue = v.queue)", "a.urgency, a.risk_share DESC, a.opened_at")
)

# For `smart`: what presses is among what is due next, what is forgotten among what has been due for
# longest; the rest is served by how long it has waited.
_LOCK_DUE_NEXT = text(_WAITING % ("a.queue = v.queue AND a.due_at >= :now", "a.due_at"))
_LOCK_OVERDUE = text(_WAITING % ("a.queue = v.queue AND a.due_at < :now", "a.due_at"))
_LOCK_OLDEST = text(_WAITING % ("a.queue = v.queue", "a.opened_at"))
_MORE = 20
"""So many more than there are places are looked at by `smart`, to choose among."""

_LOCK_FIRST = text(
    f"""
    SELECT w.* FROM unnest(CAST(:teams AS text[])) AS t (team)
    CROSS JOIN LATERAL (
        SELECT {CASE} FROM assignments AS a
        WHERE a.state = 'queued' AND a.is_open AND a.team = t.team
          AND a.given_back_by IS DISTINCT FROM :agent_id
          AND (CAST(:products AS text[]) IS NULL OR a.product = ANY (CAST(:products AS text[])))
        ORDER BY a.urgency, a.risk_share DESC, a.opened_at, a.ticket_id
        LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED
    ) AS w
    """
)

_WAITING_TEAMS = text(
    """
    SELECT t.slug FROM teams AS t
    WHERE EXISTS (SELECT FROM assignments AS a
                  WHERE a.state = 'queued' AND a.is_open AND a.team = t.slug)
      AND EXISTS (SELECT FROM agent_teams AS m JOIN agents AS g ON g.id = m.agent_id
                  WHERE m.team = t.slug AND g.presence = 'available' AND g.on_duty
                    AND g.load < g.capacity)
    ORDER BY t.slug
    """
)

_WRITE = text(
    """
    UPDATE assignments AS a SET
        product = i.product, type = i.type, priority = i.priority, status = i.status,
        opened_at = i.opened_at, intake_sequence = i.intake_sequence, risk_share = i.risk_share,
        due_at = i.due_at, sla_sequence = i.sla_sequence,
        escalation_sequence = i.escalation_sequence, state = i.state, agent_id = i.agent_id,
        team = i.team, queue = i.queue, version = i.version, since = i.since, why = i.why,
        method = i.method, waiting_since = i.waiting_since, given_back_by = i.given_back_by,
        language = i.language, tags = i.tags, tier = i.tier, weight = i.weight,
        accepted_at = i.accepted_at, given_back_until = i.given_back_until
    FROM unnest(
        CAST(:ticket_id AS uuid[]), CAST(:product AS text[]), CAST(:type AS text[]),
        CAST(:priority AS text[]), CAST(:status AS text[]), CAST(:opened_at AS timestamptz[]),
        CAST(:intake_sequence AS bigint[]), CAST(:risk_share AS double precision[]),
        CAST(:due_at AS timestamptz[]), CAST(:sla_sequence AS bigint[]),
        CAST(:escalation_sequence AS bigint[]), CAST(:state AS text[]), CAST(:agent_id AS uuid[]),
        CAST(:team AS text[]), CAST(:queue AS text[]), CAST(:version AS bigint[]),
        CAST(:since AS timestamptz[]), CAST(:why AS text[]), CAST(:method AS text[]),
        CAST(:waiting_since AS timestamptz[]), CAST(:given_back_by AS uuid[]),
        CAST(:language AS text[]), CAST(:tags AS jsonb[]), CAST(:tier AS text[]),
        CAST(:weight AS smallint[]), CAST(:accepted_at AS timestamptz[]),
        CAST(:given_back_until AS timestamptz[]),
        CAST(:before AS bigint[])
    ) AS i (ticket_id, product, type, priority, status, opened_at, intake_sequence, risk_share,
            due_at, sla_sequence, escalation_sequence, state, agent_id, team, queue, version,
            since, why, method, waiting_since, given_back_by, language, tags, tier, weight,
            accepted_at, given_back_until, before)
    WHERE a.ticket_id = i.ticket_id AND a.version = i.before
    """
)

_SEQUENCE = """
    (SELECT s.value FROM event_sequence AS s
     WHERE s.source = '/waybill/routing' AND s.aggregateid = CAST(a.ticket_id AS text)) AS sequence
"""

_READ = text(
    f"""
    SELECT {CASE}, {_SEQUENCE}, g.name AS agent_name, g.email AS agent_email
    FROM assignments AS a LEFT JOIN agents AS g ON g.id = a.agent_id WHERE a.ticket_id = :id
    """
)

# Without a place to go on from it begins before everything, so that the index serves both.
_CHANGED = f"""
    SELECT {CASE}, {_SEQUENCE}, g.name AS agent_name, g.email AS agent_email
    FROM assignments AS a LEFT JOIN agents AS g ON g.id = a.agent_id
    WHERE a.version > 0
      AND a.since >= COALESCE(CAST(:since AS timestamptz), '-infinity')
      AND (a.since, a.ticket_id) > (
          COALESCE(CAST(:after AS timestamptz), '-infinity'),
          COALESCE(CAST(:after_id AS uuid), '00000000-0000-0000-0000-000000000000'))
"""

_READ_CHANGED = text(f"{_CHANGED} ORDER BY a.since, a.ticket_id LIMIT :limit")

_READ_CHANGED_OF = text(
    f"""
    {_CHANGED} AND a.ticket_id = ANY (CAST(:ids AS uuid[]))
    ORDER BY a.since, a.ticket_id LIMIT :limit
    """
)


async def lock_or_make(uow: UnitOfWork, ids: Collection[UUID]) -> list[Case]:
    """Hold these tickets, unplaced ones of which nothing is known included."""
    wanted = {"ids": sorted(ids)}
    await uow.execute(_MAKE, wanted)
    return [case_of(row) for row in await uow.execute(_HELD, wanted)]


async def lock(uow: UnitOfWork, id: UUID) -> Case | None:
    """Hold one ticket."""
    row = (await uow.execute(_LOCK, {"id": id})).first()
    return None if row is None else case_of(row)


async def lock_of(uow: UnitOfWork, agent_id: UUID) -> list[Case]:
    """Hold what an agent has, resolved tickets included."""
    return [case_of(row) for row in await uow.execute(_LOCK_OF, {"agent_id": agent_id})]


async def lock_untouched(uow: UnitOfWork, agent_id: UUID) -> list[Case]:
    """Hold the open tickets that an agent has and did not accept yet."""
    return [case_of(row) for row in await uow.execute(_LOCK_UNTOUCHED, {"agent_id": agent_id})]


async def untouched(uow: UnitOfWork, agent_id: UUID) -> set[UUID]:
    """The same by now, held by nobody."""
    return {row.ticket_id for row in await uow.execute(_UNTOUCHED, {"agent_id": agent_id})}


async def first_touched(
    uow: UnitOfWork, deeds: Collection[tuple[UUID, str]]
) -> list[tuple[UUID, UUID, str]]:
    """Of these tickets and addresses those where the ticket is theirs and was untouched."""
    if not deeds:
        return []
    rows = await uow.execute(
        _FIRST_TOUCHED,
        {"ids": [id for id, _ in deeds], "emails": [email for _, email in deeds]},
    )
    return [(row.ticket_id, row.agent_id, row.email) for row in rows]


async def ids_of(uow: UnitOfWork, agent_id: UUID) -> set[UUID]:
    """What an agent has by now."""
    return {row.ticket_id for row in await uow.execute(_OF, {"agent_id": agent_id})}


async def lock_waiting(
    uow: UnitOfWork, vacancies: Sequence[Vacancy], *, but: Collection[UUID]
) -> list[Case]:
    """Hold what waits for whoever has room, most urgent first, as far as their room goes."""
    found: dict[UUID, Case] = {}
    smart = [each for each in vacancies if each.smart]
    for statement, own, more in (
        (_LOCK_WAITING, [each for each in vacancies if not each.smart], 0),
        (_LOCK_DUE_NEXT, smart, _MORE),
        (_LOCK_OVERDUE, smart, _MORE),
        (_LOCK_OLDEST, smart, _MORE),
    ):
        if own:
            told = json.dumps([_vacancy(each, more) for each in own])
            rows = await uow.execute(
                statement, {"vacancies": told, "but": [*but, *found], "now": uow.now}
            )
            found |= {case.id: case for case in map(case_of, rows)}
    return list(found.values())


def _vacancy(vacancy: Vacancy, more: int) -> dict[str, Any]:
    return {
        "team": vacancy.team,
        "queue": vacancy.queue,
        "places": vacancy.places + more,
        "only_agent": None if vacancy.only is None else str(vacancy.only),
        **{str(kind): values for kind, values in vacancy.skills.items()},
    }


async def lock_next(
    uow: UnitOfWork, agent_id: UUID, teams: Sequence[str], products: Collection[str] | None
) -> Case | None:
    """Hold the ticket that this agent is to have next; `products` None means all.

    The first of each team is held with it, until the transaction ends.
    """
    rows = await uow.execute(
        _LOCK_FIRST,
        {
            "agent_id": agent_id,
            "teams": list(teams),
            "products": None if products is None else sorted(products),
        },
    )
    return min((case_of(row) for row in rows), key=urgency, default=None)


async def waiting_teams(connection: AsyncConnection) -> list[str]:
    """Teams for which something waits while somebody has room."""
    return [row.slug for row in await connection.execute(_WAITING_TEAMS)]


async def write(uow: UnitOfWork, cases: Sequence[Case], before: Mapping[UUID, int]) -> None:
    """Write locked tickets; `before` holds the versions that were read."""
    if not cases:
        return
    assignments = [case.assignment for case in cases]
    written = await uow.execute(
        _WRITE,
        {
            "ticket_id": [case.id for case in cases],
            "product": [case.ticket.product for case in cases],
            "type": [case.ticket.type for case in cases],
            "priority": [case.ticket.priority for case in cases],
            "status": [case.ticket.status for case in cases],
            "opened_at": [case.ticket.opened_at for case in cases],
            "intake_sequence": [case.ticket.sequence for case in cases],
            "risk_share": [case.risk_share for case in cases],
            "due_at": [case.due_at for case in cases],
            "sla_sequence": [case.sla_sequence for case in cases],
            "escalation_sequence": [case.escalation_sequence for case in cases],
            "state": [item.state for item in assignments],
            "agent_id": [item.agent_id for item in assignments],
            "team": [item.team for item in assignments],
            "queue": [item.queue for item in assignments],
            "version": [item.version for item in assignments],
            "since": [item.since for item in assignments],
            "why": [item.why for item in assignments],
            "method": [item.method for item in assignments],
            "waiting_since": [item.waiting_since for item in assignments],
            "given_back_by": [item.given_back_by for item in assignments],
            "language": [case.ticket.language for case in cases],
            "tags": [to_json(case.ticket.tags).decode() for case in cases],
            "tier": [case.ticket.tier for case in cases],
            "weight": [case.weight for case in cases],
            "accepted_at": [item.accepted_at for item in assignments],
            "given_back_until": [item.given_back_until for item in assignments],
            "before": [before[case.id] for case in cases],
        },
    )
    if written.rowcount != len(cases):
        raise RuntimeError("a ticket was written that this transaction did not hold")


async def read(connection: AsyncConnection, id: UUID) -> tuple[Case, Any] | None:
    """A ticket, and its row for `sequence`, `agent_name` and `agent_email`."""
    row = (await connection.execute(_READ, {"id": id})).first()
    return None if row is None else (case_of(row), row)


async def read_many(connection: AsyncConnection, ids: Collection[UUID]) -> dict[UUID, Case]:
    """Those of these tickets that are known."""
    rows = await connection.execute(_HELD, {"ids": list(ids)})
    return {case.id: case for case in map(case_of, rows)}


async def read_changed(
    connection: AsyncConnection,
    *,
    since: datetime | None,
    after: tuple[datetime, UUID] | None,
    ids: Collection[UUID] | None,
    limit: int,
) -> list[tuple[Case, Any]]:
    """Placed tickets by their last change, oldest first; the rows as with `read`."""
    rows = await connection.execute(
        _READ_CHANGED if ids is None else _READ_CHANGED_OF,
        {
            "since": since,
            "after": after and after[0],
            "after_id": after and after[1],
            "limit": limit,
        }
        | ({} if ids is None else {"ids": list(ids)}),
    )
    return [(case_of(row), row) for row in rows]
