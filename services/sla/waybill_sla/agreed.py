"""What was agreed, as a batch is judged by it: read anew when it was changed, else remembered.

Whoever changes policies or ladders calls `changing` in the same transaction. Calendars tell of
their changes by their own versions.
"""

from waybill_chassis import stored_settings
from waybill_chassis.database import UnitOfWork

from waybill_sla import store
from waybill_sla.domain.policy import Agreement
from waybill_sla.kept_settings import AGREEMENTS, rules


async def agreement(uow: UnitOfWork) -> Agreement:
    """All that decides what a fact means, as it stood at one moment.

    Ask for it once the clocks are locked: then it knows every version that they are pinned to, and
    a change that they have been dated by already is never undone by what was before it.
    """
    settings = await uow.settings()
    stamp = await store.stamp(uow.connection, AGREEMENTS)
    known: tuple[store.Stamp, Agreement] | None = settings.memo.get(AGREEMENTS)
    # What changed while it was read would be there by half.
    while known is None or known[0] != stamp:
        known = stamp, await store.agreement(uow.connection, rules(settings))
        stamp = await store.stamp(uow.connection, AGREEMENTS)
    settings.memo[AGREEMENTS] = known
    return known[1]


async def changing(uow: UnitOfWork, by: str) -> None:
    """Nobody else changes policies or ladders until the commit; all go by the change after it."""
    before = await stored_settings.lock(uow, AGREEMENTS)
    await stored_settings.write(uow, AGREEMENTS, before, {}, by)
