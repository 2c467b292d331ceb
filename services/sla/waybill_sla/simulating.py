"""Replays past tickets under a proposal, before anyone turns it on: batch by batch.

A proposal is written for a moment, by the same steps as it would be for good, looked at and undone.
What is agreed and what would be are kept with the simulation, so each batch judges by the same,
whatever is changed meanwhile. A batch is a transaction, with how far it has come and what it has
found in it: a process that dies loses nothing, and any other goes on.
"""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from uuid import UUID

import structlog
from waybill_chassis.database import Database, UnitOfWork
from waybill_chassis.ids import new_id
from waybill_chassis.problems import Conflict

from waybill_sla import store
from waybill_sla.agreements import Documents, agree
from waybill_sla.calendars import Written
from waybill_sla.domain import simulation
from waybill_sla.domain.clock import Clock
from waybill_sla.domain.policy import Agreement
from waybill_sla.domain.simulation import Learnt, Tally
from waybill_sla.kept_settings import rules
from waybill_sla.store import simulations
from waybill_sla.store.simulations import Filters, Simulation, Task

LOOK_SECONDS = 1.0
"""How often a replica looks for something to simulate."""

MOST_TICKETS = 50_000

BATCH = 100
_LONG_SECONDS = 3.0
_MOST_FACTS = 1000
"""A ticket of which more is known is left out: nothing else could go on for seconds."""

_MOST_WAITING = 10

log = structlog.get_logger(__name__)


class Busy(Conflict):
    """There are many simulations to be done already."""

    title = "Busy"


async def ask(
    uow: UnitOfWork, proposal: Documents, what: Sequence[Written], filters: Filters, by: str
) -> Simulation:
    """Have past tickets replayed under a proposal once this commits; nothing else is changed."""
    if await simulations.waiting(uow.connection) >= _MOST_WAITING:
        raise Busy(f"{_MOST_WAITING} simulations are not done yet: wait for them.")
    numbers = rules(await uow.settings())
    agreed = await simulations.as_it_stands(uow.connection, numbers)
    await simulations.savepoint(uow.connection)
    await agree(uow, proposal, what, by, to_see=True)
    proposed = await simulations.as_it_stands(uow.connection, numbers)
    await simulations.undo(uow.connection)
    await simulations.prune(uow.connection, uow.now - simulations.KEPT)
    id = new_id()
    await simulations.begin_simulation(
        uow.connection, id, filters, agreed, proposed, now=uow.now, by=by
    )
    begun = await simulations.simulation(uow.connection, id)
    assert begun is not None
    return begun


@dataclass(frozen=True, slots=True)
class _Sides:
    """What a simulation judges by; made once for all of its batches."""

    id: UUID
    before: Agreement
    after: Agreement


async def work(database: Database, *, batch: int = BATCH, batches: int | None = None) -> None:
    """Do all there is to do, or as many batches of it."""
    sides: _Sides | None = None
    for _ in count() if batches is None else range(batches):
        async with database.reading() as connection:
            if not await simulations.waiting(connection):
                return
        async with database.unit_of_work() as uow:
            task = await simulations.claim_simulation(uow.connection)
            if task is None:
                return
            try:
                sides = _sides(task, sides)
                await step(uow, task, sides, most=batch)
            except (ArithmeticError, AssertionError, LookupError, TypeError, ValueError) as error:
                # It would fail again and again, and hold up those behind it.
                log.exception("simulation_failed", simulation_id=str(task.simulation.id))
                await simulations.advance_simulation(
                    uow.connection,
                    task,
                    done=task.simulation.done,
                    reached=None,
                    ended_at=uow.now,
                    failure=f"{type(error).__name__}: {error}"[:500],
                )


def _sides(task: Task, known: _Sides | None) -> _Sides:
    id = task.simulation.id
    if known is not None and known.id == id:
        return known
    before = simulations.agreement_of(task.agreed)
    return _Sides(id, before, simulations.agreement_of(task.proposed))


async def step(uow: UnitOfWork, task: Task, sides: _Sides, *, most: int) -> None:
    """The next tickets, for a few seconds at most."""
    had = task.simulation
    most = min(most, had.total - had.done)
    ids, reached, last = await simulations.next_tickets(uow.connection, task, most)
    found = await store.clocks(uow.connection, ids)
    clocks = await store.whole(uow.connection, found.values())
    known = await simulations.heard_of(uow.connection, ids)
    began, done = time.monotonic(), had.done
    for place, id in enumerate(ids):
        _replay(clocks[id], known.get(id, []), sides, task)
        done += 1
        # Others have their turn in the process.
        await asyncio.sleep(0)
        if time.monotonic() - began > _LONG_SECONDS and place + 1 < len(ids):
            reached, last = id, False
            break
    over = last or done >= had.total
    await simulations.advance_simulation(
        uow.connection, task, done=done, reached=reached, ended_at=uow.now if over else None
    )


def _replay(clock: Clock, known: Sequence[Learnt], sides: _Sides, task: Task) -> None:
    tally: Tally = task.simulation.tally
    ticket, until = clock.ticket, task.simulation.started_at
    assert ticket is not None
    if max(len(known), len(clock.segments)) > _MOST_FACTS:
        tally.left_out += 1
        return
    try:
        told, exact = simulation.history(clock, known)
        before = simulation.live(clock.ticket_id, told, sides.before, until)
        after = simulation.live(clock.ticket_id, told, sides.after, until)
    except Exception:
        # One ticket that cannot be replayed must not hold up the others.
        log.exception("ticket_not_replayed", ticket_id=str(clock.ticket_id))
        tally.left_out += 1
        return
    tally.approximated += not exact
    simulation.count(tally, ticket, before, after)
