"""What nobody needs goes: uploads that wait too long, objects whose row is gone or never came.

Any number of replicas may do it at once: each takes rows that nobody else has, and deleting an
object twice is harmless.
"""

from datetime import timedelta

import structlog
from waybill_chassis.database import Database
from waybill_chassis.process import Periodic

from waybill_intake.attachments.objects import Objects
from waybill_intake.store import attachments as store

EVERY_SECONDS = 60.0
AUDIT_EVERY = timedelta(days=1)
_AT_ONCE = 200
# Longer than any upload takes, and by far: clocks may differ.
_SURELY_OLD = timedelta(days=1)

log = structlog.get_logger(__name__)


def sweeper(database: Database, objects: Objects) -> Periodic:
    """The part of the process that sweeps."""

    async def chore() -> None:
        await sweep(database, objects)
        await audit(database, objects)

    return Periodic("attachments-sweep", EVERY_SECONDS, chore)


async def sweep(database: Database, objects: Objects) -> int:
    """Remove uploads that have ended and delete the objects that are due; how many of those."""
    total = 0
    while True:
        async with database.unit_of_work() as uow:
            expired = await store.expire(uow, _AT_ONCE)
        async with database.unit_of_work() as uow:
            due = await store.due(uow, _AT_ONCE)
        # Between these transactions, since a store may take its time. Who dies here is followed
        # by whoever sweeps a minute later.
        for id in due:
            await objects.delete(id)
        if due:
            async with database.unit_of_work() as uow:
                await store.forget(uow, due)
        total += len(due)
        if expired < _AT_ONCE and len(due) < _AT_ONCE:
            return total


async def audit(database: Database, objects: Objects) -> int:
    """Once a day, by one replica: doom the objects that no table knows; how many."""
    async with database.unit_of_work() as uow:
        if not await store.claim_audit(uow, AUDIT_EVERY):
            return 0
        before = uow.now - _SURELY_OLD
    found = 0
    async for batch in objects.listed():
        if old := [id for id, changed in batch if changed < before]:
            async with database.unit_of_work() as uow:
                found += await store.doom_unknown(uow, old)
    if found:
        log.warning("objects_without_row", count=found)
    return found
