"""Goes through open clocks after a calendar or ladder was edited or a policy applied, in batches.

A batch is a transaction, and how far it has come is in it: a process that dies loses nothing, and
any other goes on. Two replicas never work on the same task at once.
"""

from collections.abc import Awaitable, Callable, Mapping
from uuid import UUID

import structlog
from waybill_chassis.causes import Origin, automation, nameless, timer_cause
from waybill_chassis.database import Database, UnitOfWork
from waybill_chassis.ids import new_id

from waybill_sla import store, usecases
from waybill_sla.domain import facts
from waybill_sla.domain.clock import Clock, Outcome
from waybill_sla.domain.policy import Agreement
from waybill_sla.domain.targets import Hearing
from waybill_sla.store import redatings
from waybill_sla.store.calendars import change_alone
from waybill_sla.store.redatings import Redating, Scope

LOOK_SECONDS = 1.0
"""How often a replica looks for something to date anew."""

BATCH = 200

Agreed = Callable[[UnitOfWork], Awaitable[Agreement]]

log = structlog.get_logger(__name__)


async def redate(uow: UnitOfWork, scope: Scope, by: str) -> int:
    """Have the open clocks of a scope dated anew once this commits; how many there are.

    Until the commit nobody hears, fires or reads by what was agreed, and whoever did has finished:
    a clock that is opened meanwhile is not forgotten. So ask for this as early as it can be known.
    """
    await change_alone(uow.connection)
    return await redatings.begin_redating(uow.connection, new_id(), scope, now=uow.now, by=by)


async def work(database: Database, agreed: Agreed, *, batch: int = BATCH) -> None:
    """Do all there is to do."""
    async with database.reading() as connection:
        if not await redatings.redating_pending(connection):
            return
    while True:
        async with database.unit_of_work() as uow:
            if not await step(uow, agreed, most=batch):
                return


async def step(uow: UnitOfWork, agreed: Agreed, *, most: int) -> bool:
    """The next batch of the oldest task; False if nobody left anything to do."""
    task = await redatings.claim_redating(uow.connection)
    if task is None:
        return False
    following = await redatings.next_concerned(uow.connection, task, most)
    if following.ids:
        loaded = await store.lock(uow.connection, following.ids)
        agreement = await agreed(uow)
        if task.ladder is None:
            changes = await _all_redated(uow, loaded, task, agreement)
        else:
            # What fires from now on is all that changes: the timers for it are armed anew.
            changes = [
                usecases.changed(found, found.clock, agreement, at=uow.now, trace=None)
                for found in loaded.values()
            ]
        await store.save(uow.connection, changes)
    await redatings.advance_redating(uow.connection, task, following, uow.now)
    return True


async def _all_redated(
    uow: UnitOfWork, loaded: Mapping[UUID, store.Loaded], task: Redating, agreement: Agreement
) -> list[store.Changed]:
    wholes = await store.whole(uow.connection, [found.clock for found in loaded.values()])
    changes = []
    for id, found in loaded.items():
        outcome = _redated(wholes[id], task, agreement, uow)
        if outcome.clock == wholes[id]:
            continue
        origin = Origin(automation("sla"), timer_cause("redating", task.id))
        usecases.tell(uow, outcome, nameless(origin) if outcome.clock.erased else origin)
        changes.append(usecases.changed(found, outcome.clock, agreement, at=uow.now, trace=None))
    return changes


def _redated(clock: Clock, task: Redating, agreement: Agreement, uow: UnitOfWork) -> Outcome:
    now = usecases.present(clock, uow.now)
    hearing = Hearing(now, str(task.id), now, new_id)
    try:
        return facts.redate(clock, hearing, agreement, anew=task.policy_id is not None)
    except Exception:
        # One clock that cannot be dated must not hold up the others.
        log.exception("clock_not_redated", ticket_id=str(clock.ticket_id))
        return Outcome(clock)
