"""How long tickets took, by agent and type."""

from collections.abc import Collection, Sequence
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from waybill_chassis.database import UnitOfWork

from waybill_routing.domain.learning import MEMORY, HandlingTimes, Solved, Worked

# One row a pair, in order of its key, so that two that learn do not wait for each other. What is
# over the memory fades by the share that is over.
_LEARN = text(
    """
    INSERT INTO handling AS h (agent_id, type, tickets, total, squares)
    SELECT i.agent_id, i.type, count(*), sum(i.took), sum(i.took * i.took)
    FROM unnest(CAST(:agent_id AS uuid[]), CAST(:type AS text[]),
                CAST(:took AS double precision[])) AS i (agent_id, type, took)
    GROUP BY i.agent_id, i.type ORDER BY i.agent_id, i.type
    ON CONFLICT (agent_id, type) DO UPDATE SET
        tickets = h.tickets * least(1, :memory / (h.tickets + excluded.tickets)) + excluded.tickets,
        total = h.total * least(1, :memory / (h.tickets + excluded.tickets)) + excluded.total,
        squares = h.squares * least(1, :memory / (h.tickets + excluded.tickets)) + excluded.squares
    """
)

_KNOWN = text(
    """
    SELECT agent_id, type, tickets, total, squares FROM handling
    WHERE agent_id = ANY (CAST(:agents AS uuid[]))
    """
)


async def learn(uow: UnitOfWork, solved: Sequence[Solved]) -> None:
    """Add what was solved."""
    if solved:
        await uow.execute(
            _LEARN,
            {
                "agent_id": [each.agent_id for each in solved],
                "type": [each.type for each in solved],
                "took": [each.log_seconds for each in solved],
                "memory": MEMORY,
            },
        )


async def known(connection: AsyncConnection, agents: Collection[UUID]) -> HandlingTimes:
    """What is known of these agents."""
    rows = await connection.execute(_KNOWN, {"agents": list(agents)})
    return HandlingTimes(
        {(row.agent_id, row.type): Worked(row.tickets, row.total, row.squares) for row in rows}
    )
