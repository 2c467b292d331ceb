"""Why each step of a ticket was taken."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from waybill_chassis.database import UnitOfWork

from waybill_routing.domain import Change, Considered

_WRITE = text(
    """
    INSERT INTO decisions (ticket_id, version, state, agent_id, team, queue, method, reason, why,
                           cause, rule_id, rule_name, rule_version, strategy, queue_version, able,
                           considered, decided_at)
    SELECT i.*, CAST(:now AS timestamptz) FROM unnest(
        CAST(:ticket_id AS uuid[]), CAST(:version AS bigint[]), CAST(:state AS text[]),
        CAST(:agent_id AS uuid[]), CAST(:team AS text[]), CAST(:queue AS text[]),
        CAST(:method AS text[]), CAST(:reason AS text[]), CAST(:why AS text[]),
        CAST(:cause AS text[]), CAST(:rule_id AS uuid[]), CAST(:rule_name AS text[]),
        CAST(:rule_version AS bigint[]), CAST(:strategy AS text[]),
        CAST(:queue_version AS bigint[]), CAST(:able AS integer[]),
        CAST(:considered AS jsonb[])) AS i
    """
)

_LAST = text(
    """
    SELECT version, state, agent_id, team, queue, method, reason, why, cause, rule_id, rule_name,
           rule_version, strategy, queue_version, able, considered, decided_at
    FROM decisions WHERE ticket_id = :id ORDER BY version DESC LIMIT :limit
    """
)

_NAMES = text("SELECT id, name FROM agents WHERE id = ANY (CAST(:ids AS uuid[]))")


async def write(uow: UnitOfWork, changes: Sequence[Change], causes: Sequence[str]) -> None:
    """Keep why each step was taken; `causes` are the ids of what led to them."""
    if not changes:
        return
    steps = [change.assignment for change in changes]
    rules = [change.rule for change in changes]
    queues = [change.queue for change in changes]
    await uow.execute(
        _WRITE,
        {
            "ticket_id": [change.ticket_id for change in changes],
            "version": [step.version for step in steps],
            "state": [step.state for step in steps],
            "agent_id": [step.agent_id for step in steps],
            "team": [step.team for step in steps],
            "queue": [step.queue for step in steps],
            "method": [step.method for step in steps],
            "reason": [change.reason for change in changes],
            "why": [step.why for step in steps],
            "cause": list(causes),
            "rule_id": [rule and rule.id for rule in rules],
            "rule_name": [rule and rule.name for rule in rules],
            "rule_version": [rule and rule.version for rule in rules],
            "strategy": [queue and queue.strategy for queue in queues],
            "queue_version": [queue and queue.version for queue in queues],
            "able": [change.able for change in changes],
            "considered": [
                to_json([_kept(each) for each in change.considered]).decode() for change in changes
            ],
            "now": uow.now,
        },
    )


def _kept(one: Considered) -> dict[str, Any]:
    # Without the name: agents have it.
    return {"agent": one.agent_id, "score": one.score, "parts": one.parts}


async def last(
    connection: AsyncConnection, id: UUID, limit: int
) -> tuple[Sequence[Any], Mapping[UUID, str]]:
    """The last steps of a ticket, the newest first, and the names of the agents they speak of."""
    rows = (await connection.execute(_LAST, {"id": id, "limit": limit})).all()
    ids = {row.agent_id for row in rows if row.agent_id}
    ids |= {UUID(one["agent"]) for row in rows for one in row.considered}
    named = await connection.execute(_NAMES, {"ids": sorted(ids)}) if ids else ()
    return rows, {row.id: row.name for row in named}
