"""Statistics kept up to date: what happens to tickets changes what they count for, at once.

The lines that change are only added to a table; `fold` puts them into the roll-ups later. Whoever
reads sums both.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from uuid import UUID

import structlog
from waybill_chassis.database import Database, UnitOfWork

from waybill_intake.domain.statistics import Counted, Lines, add, changed, count
from waybill_intake.domain.statistics_history import (
    History,
    after_fact,
    agent_of,
    first_history,
)
from waybill_intake.domain.ticket import Actor, Fact, Ticket
from waybill_intake.domain.words import ActorKind
from waybill_intake.store import statistics
from waybill_intake.store import statistics_rebuilding as rebuilding

FOLDED_AT_ONCE = 5_000
COUNTED_AT_ONCE = 1_000
FOLD_SECONDS = 2.0

log = structlog.get_logger(__name__)

After = Callable[[History], History]
"""What something that was heard makes of a ticket's history."""


class Tally:
    """What was heard of the tickets in hand, until it is counted."""

    def __init__(self) -> None:
        self._heard: dict[UUID, list[After]] = {}
        self._names: dict[str, str] = {}
        self._known: dict[UUID, tuple[History, Counted]] = {}

    def hear(self, id: UUID, after: After) -> None:
        """Keep what something means for a ticket's history."""
        self._heard.setdefault(id, []).append(after)

    def note(self, fact: Fact, actor: Actor) -> None:
        """Keep what intake did."""
        if actor.kind is ActorKind.AGENT:
            self.name(agent_of(actor), actor.name)
        self.hear(fact.ticket.id, partial(after_fact, fact=fact, actor=actor))

    def name(self, agent: str, name: str) -> None:
        """Keep what an agent is called."""
        if agent and name:
            self._names[agent] = name

    async def know(self, uow: UnitOfWork, ids: Iterable[UUID]) -> None:
        """Read what is kept of these tickets, before anything is held back to be written."""
        if unknown := [id for id in ids if id not in self._known]:
            self._known |= await statistics.read(uow, unknown)

    async def write(
        self, uow: UnitOfWork, tickets: Mapping[UUID, Ticket], new: Collection[UUID]
    ) -> None:
        """Count the tickets anew; those that nobody knows are left out."""
        heard = {id: after for id, after in self._heard.items() if id in tickets}
        self._heard.clear()
        await self.know(uow, [id for id in heard if id not in new])
        kept, lines = {}, Lines()
        for id, news in heard.items():
            # One that is older than its statistics shows by itself what it can.
            history, counted = self._known.get(id) or (first_history(tickets[id]), None)
            for after in news:
                history = after(history)
            now = count(tickets[id], history)
            if (history, now) == self._known.get(id):
                continue
            kept[id] = (history, now)
            add(lines, counted, -1)
            add(lines, now)
        self._known |= kept
        if kept:
            await statistics.write(uow, kept, changed(lines))
        if self._names:
            await statistics.name(uow, self._names)
            self._names.clear()


async def tend(database: Database) -> None:
    """What is to be done every few seconds: fold, or count all tickets anew if that is asked."""
    async with database.reading() as connection:
        state = await rebuilding.state(connection)
    if state.asked_at is not None:
        await rebuild(database)
        async with database.unit_of_work() as uow:
            await rebuilding.done(uow, state.asked_at)
    await fold(database)


async def rebuild(database: Database, tell: Callable[[str], None] = log.info) -> int:
    """Count all tickets anew and sum the roll-ups from that; how many tickets there are.

    Tickets go on changing meanwhile. Where everything was right the numbers stay the same, to the
    digit, at every moment of it.
    """
    counted, after = 0, None
    while True:
        async with database.unit_of_work() as uow:
            found = await rebuilding.next_tickets(uow, after, COUNTED_AT_ONCE)
            known = await statistics.read(uow, [ticket.id for ticket in found])
            kept = {}
            for ticket in found:
                before = known.get(ticket.id)
                history = before[0] if before else first_history(ticket)
                now = (history, count(ticket, history))
                if now != before:
                    kept[ticket.id] = now
            if kept:
                await statistics.write(uow, kept, {})
        if not found:
            break
        counted, after = counted + len(found), found[-1].id
        if counted % 50_000 < COUNTED_AT_ONCE:
            tell(f"{counted} tickets counted")
    async with rebuilding.only_one(database), database.unit_of_work() as uow:
        await rebuilding.sum_up(uow, tell)
    return counted


async def fold(database: Database) -> int:
    """Put the changes into the roll-ups, batch by batch; how many there were."""
    folded = 0
    while True:
        async with database.unit_of_work() as uow:
            if not await statistics.lock(uow):
                return folded
            taken = await statistics.fold(uow, FOLDED_AT_ONCE)
        folded += taken
        if taken < FOLDED_AT_ONCE:
            return folded
