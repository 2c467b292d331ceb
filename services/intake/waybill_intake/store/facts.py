"""The projections: what routing and sla last said of a ticket. They never touch its version."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from waybill_chassis.database import UnitOfWork

from waybill_intake.domain.facts import Assignment, Facts, Sla, Suspicion
from waybill_intake.store.finding.kept import LIST_AGAIN
from waybill_intake.store.rows import as_json

_READ = text("SELECT * FROM ticket_facts WHERE ticket_id = ANY(CAST(:ids AS uuid[]))")
# What others say is looked for in lists too.
_LISTED = f"{LIST_AGAIN} FROM said f JOIN tickets t ON t.id = f.ticket_id WHERE l.ticket_id = t.id"
_ASSIGNMENTS = text(
    f"""
    WITH said AS (
    INSERT INTO ticket_facts AS f
        (ticket_id, routing_sequence, agent_id, agent_name, agent_email, team, assigned_at)
    SELECT ticket_id, routing_sequence, agent_id, agent_name, agent_email, team, assigned_at
    FROM json_populate_recordset(NULL::ticket_facts, CAST(:rows AS json)) ORDER BY ticket_id
    ON CONFLICT (ticket_id) DO UPDATE SET
        routing_sequence = excluded.routing_sequence, agent_id = excluded.agent_id,
        agent_name = excluded.agent_name, agent_email = excluded.agent_email,
        team = excluded.team, assigned_at = excluded.assigned_at
    WHERE excluded.routing_sequence >= f.routing_sequence
    RETURNING f.*
    ) {_LISTED}
    """
)
_SLAS = text(
    f"""
    WITH said AS (
    INSERT INTO ticket_facts AS f
        (ticket_id, sla_sequence, response_state, response_due_at, resolution_state,
         resolution_due_at, escalation_level)
    SELECT ticket_id, sla_sequence, response_state, response_due_at, resolution_state,
           resolution_due_at, escalation_level
    FROM json_populate_recordset(NULL::ticket_facts, CAST(:rows AS json)) ORDER BY ticket_id
    ON CONFLICT (ticket_id) DO UPDATE SET
        sla_sequence = excluded.sla_sequence, response_state = excluded.response_state,
        response_due_at = excluded.response_due_at,
        resolution_state = excluded.resolution_state,
        resolution_due_at = excluded.resolution_due_at,
        escalation_level = excluded.escalation_level
    WHERE excluded.sla_sequence >= f.sla_sequence
    RETURNING f.*
    ) {_LISTED}
    """
)
_GUESSES = text(
    """
    INSERT INTO ticket_facts AS f (ticket_id, triaged_version, kb_sequence, suspected)
    SELECT ticket_id, triaged_version, kb_sequence, suspected
    FROM json_populate_recordset(NULL::ticket_facts, CAST(:rows AS json)) ORDER BY ticket_id
    ON CONFLICT (ticket_id) DO UPDATE SET
        triaged_version = excluded.triaged_version, kb_sequence = excluded.kb_sequence,
        suspected = excluded.suspected
    """
)


def of_row(row: Any) -> Facts:
    """The facts in a row of `ticket_facts`, or in one that was joined with it."""
    return Facts(
        Assignment(
            row.routing_sequence or 0, row.agent_id, row.agent_name, row.agent_email, row.team
        ),
        Sla(
            row.sla_sequence or 0,
            row.response_state,
            row.response_due_at,
            row.resolution_state,
            row.resolution_due_at,
            row.escalation_level,
        ),
        row.assigned_at,
        row.triaged_version or 0,
        row.kb_sequence or 0,
        tuple(
            Suspicion(**one | {"ticket_id": UUID(one["ticket_id"])}) for one in row.suspected or ()
        ),
    )


async def read(connection: AsyncConnection, ids: Iterable[UUID]) -> dict[UUID, Facts]:
    """What is known of these tickets. Whoever will write locks the tickets first."""
    rows = await connection.execute(_READ, {"ids": list(ids)})
    return {row.ticket_id: of_row(row) for row in rows}


async def write_assignments(uow: UnitOfWork, facts: Sequence[tuple[UUID, Facts]]) -> None:
    """Keep what routing said, unless something newer is there."""
    await uow.execute(
        _ASSIGNMENTS,
        {
            "rows": as_json(
                {
                    "ticket_id": id,
                    "routing_sequence": known.assignment.sequence,
                    "agent_id": known.assignment.agent_id,
                    "agent_name": known.assignment.agent_name,
                    "agent_email": known.assignment.agent_email,
                    "team": known.assignment.team,
                    "assigned_at": known.assigned_at,
                }
                for id, known in facts
            )
        },
    )


async def write_slas(uow: UnitOfWork, slas: Sequence[tuple[UUID, Sla]]) -> None:
    """Keep what sla said, unless something newer is there."""
    await uow.execute(
        _SLAS,
        {
            "rows": as_json(
                {
                    "ticket_id": id,
                    "sla_sequence": known.sequence,
                    "response_state": known.response_state,
                    "response_due_at": known.response_due_at,
                    "resolution_state": known.resolution_state,
                    "resolution_due_at": known.resolution_due_at,
                    "escalation_level": known.escalation_level,
                }
                for id, known in slas
            )
        },
    )


async def write_guesses(uow: UnitOfWork, facts: Sequence[tuple[UUID, Facts]]) -> None:
    """Keep what triage has looked at and what kb suspects; the tickets are locked."""
    await uow.execute(
        _GUESSES,
        {
            "rows": as_json(
                {
                    "ticket_id": id,
                    "triaged_version": known.triaged_version,
                    "kb_sequence": known.kb_sequence,
                    "suspected": known.suspected,
                }
                for id, known in facts
            )
        },
    )
