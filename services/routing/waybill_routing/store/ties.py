"""Whose a ticket is, what it is linked to, and who had those before."""

import json
from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from waybill_chassis.database import UnitOfWork

from waybill_routing.domain import Ticket

_WRITE = text(
    """
    INSERT INTO ties AS t (ticket_id, submitter_id, links)
    SELECT i.ticket_id, i.submitter_id,
           ARRAY(SELECT CAST(l.link AS uuid) FROM jsonb_array_elements_text(i.links) AS l (link))
    FROM unnest(CAST(:ids AS uuid[]), CAST(:submitters AS uuid[]), CAST(:links AS jsonb[]))
        AS i (ticket_id, submitter_id, links)
    ORDER BY i.ticket_id
    ON CONFLICT (ticket_id) DO UPDATE SET
        submitter_id = excluded.submitter_id, links = excluded.links
    WHERE (t.submitter_id, t.links) IS DISTINCT FROM (excluded.submitter_id, excluded.links)
    """
)

# The last few tickets of the submitter, by their ids, which grow with time; and the linked ones.
_FAMILIAR = text(
    """
    SELECT DISTINCT t.ticket_id, d.agent_id FROM ties AS t
    CROSS JOIN LATERAL (
        (SELECT o.ticket_id FROM ties AS o
         WHERE o.submitter_id = t.submitter_id AND o.ticket_id <> t.ticket_id
         ORDER BY o.ticket_id DESC LIMIT :last)
        UNION SELECT unnest(t.links)
    ) AS k
    CROSS JOIN LATERAL (
        SELECT c.agent_id FROM decisions AS c
        WHERE c.ticket_id = k.ticket_id AND c.agent_id IS NOT NULL
        ORDER BY c.version DESC LIMIT 1
    ) AS d
    WHERE t.ticket_id = ANY (CAST(:ids AS uuid[]))
    """
)
_LAST = 5


async def write(uow: UnitOfWork, seen: Sequence[Ticket]) -> None:
    """Keep what these tickets say of it."""
    if seen:
        await uow.execute(
            _WRITE,
            {
                "ids": [ticket.id for ticket in seen],
                "submitters": [ticket.submitter for ticket in seen],
                "links": [json.dumps(list(map(str, ticket.links))) for ticket in seen],
            },
        )


async def familiar(
    connection: AsyncConnection, ids: Collection[UUID]
) -> dict[UUID, frozenset[UUID]]:
    """Who had the submitter's last tickets, or one that each is linked to, last."""
    found: dict[UUID, frozenset[UUID]] = {}
    for row in await connection.execute(_FAMILIAR, {"ids": list(ids), "last": _LAST}):
        found[row.ticket_id] = found.get(row.ticket_id, frozenset()) | {row.agent_id}
    return found
