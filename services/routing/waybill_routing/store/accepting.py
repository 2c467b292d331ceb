"""What was given to agents and not accepted yet."""

from datetime import datetime

from sqlalchemy import text
from waybill_chassis.database import UnitOfWork

from waybill_routing.domain import Case
from waybill_routing.store.rows import CASE, case_of

# Who merely fell silent never said that they left: the time runs on for them.
_LOCK_LATE = text(
    f"""
    SELECT {CASE} FROM assignments AS a JOIN agents AS g ON g.id = a.agent_id
    WHERE a.agent_id IS NOT NULL AND a.accepted_at IS NULL AND a.is_open AND a.since <= :before
      AND COALESCE(g.present_since <= :before, true)
      AND COALESCE(g.duty_since <= :before, true)
      AND (g.presence IN ('available', 'busy') OR g.silent_from IS NOT NULL)
      AND g.on_duty AND (g.duty_until IS NULL OR g.duty_until > :now)
    ORDER BY a.since LIMIT :limit FOR NO KEY UPDATE OF a SKIP LOCKED
    """
)

_OFFER_AGAIN = text(
    """
    UPDATE assignments SET given_back_by = NULL, given_back_until = NULL
    WHERE ticket_id IN (
        SELECT ticket_id FROM assignments WHERE given_back_until <= :now
        ORDER BY given_back_until LIMIT :limit FOR NO KEY UPDATE SKIP LOCKED)
    """
)


async def lock_late(uow: UnitOfWork, before: datetime, limit: int) -> list[Case]:
    """Hold what was given before this to agents who have been there ever since, and is untouched.

    What somebody else holds is left out.
    """
    wanted = {"before": before, "now": uow.now, "limit": limit}
    return [case_of(row) for row in await uow.execute(_LOCK_LATE, wanted)]


async def offer_again(uow: UnitOfWork, limit: int) -> None:
    """Whoever did not accept a ticket may be given it once more when its time is over."""
    await uow.execute(_OFFER_AGAIN, {"now": uow.now, "limit": limit})
