"""What reports are made of: who is at work, and all that was decided judged again when asked for.

Rebuilding goes batch by batch; how far it has come is in each batch's own transaction.
"""

from collections.abc import Sequence

from waybill_chassis.database import Database, UnitOfWork

from waybill_sla import store
from waybill_sla.domain.report import Presence
from waybill_sla.store import rebuilding, watching

LOOK_SECONDS = 2.0
"""How often a replica looks whether a rebuild is asked for."""

PRUNE_SECONDS = 300.0

BATCH = 500


async def note_presence(uow: UnitOfWork, told: Sequence[Presence]) -> None:
    """Know who is at work."""
    await store.keep_attendance(uow.connection, told)


async def rebuild(database: Database, *, batch: int = BATCH) -> None:
    """Judge all tickets again if that is asked for."""
    async with database.reading() as connection:
        if (await rebuilding.state(connection)).asked_at is None:
            return
    while True:
        async with database.unit_of_work() as uow:
            task = await rebuilding.claim(uow.connection)
            if task is None:
                return
            ids = await rebuilding.following(uow.connection, task.after, batch)
            if not ids:
                await rebuilding.finish(uow.connection, uow.now)
                return
            loaded = await store.lock(uow.connection, ids)
            await store.judge_anew(uow.connection, [found.clock for found in loaded.values()])
            await rebuilding.advance(uow.connection, ids[-1])


async def prune(database: Database) -> None:
    """Forget old changes of what is at risk."""
    async with database.unit_of_work() as uow:
        await watching.prune(uow.connection)
