"""What follows from what others tell, and from time that passes."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from uuid import UUID

import structlog
from waybill_chassis.causes import Origin, automation, timer_cause
from waybill_chassis.database import UnitOfWork
from waybill_chassis.ids import new_id

from waybill_routing.domain import (
    Case,
    Desk,
    Escalated,
    News,
    Queue,
    State,
    Ticket,
    TicketSeen,
    heard,
    needs_place,
    queue_for,
)
from waybill_routing.store import tickets, ties, ways
from waybill_routing.usecases.desks import desk_for, finish

log = structlog.get_logger(__name__)


async def hear(uow: UnitOfWork, batch: Sequence[tuple[News, Origin]]) -> None:
    """Take over a batch of news, and do what follows: place, move, release, serve the queues."""
    if not batch:
        return
    before = {
        case.id: case
        for case in await tickets.lock_or_make(uow, {_subject(news) for news, _ in batch})
    }
    after = dict(before)
    escalations: dict[UUID, Escalated] = {}
    origins: dict[UUID, Origin] = {}
    for news, origin in batch:
        id = _subject(news)
        known = after[id]
        after[id] = heard(known, news)
        origins[id] = origin
        if isinstance(news, Escalated) and after[id] is not known:
            escalations[id] = news
    await ties.write(uow, _tied(before, after))
    queues, rules = await ways.ways(uow.connection)
    # Without agents yet: which of them to hold hangs on where the tickets are to go.
    plan = Desk(before.values(), (), queues=queues, rules=rules, now=uow.now)
    targets = {id: _target(plan, news) for id, news in escalations.items()}
    agents: set[UUID] = set()
    teams: set[str] = set()
    for id, case in after.items():
        target = targets.get(id)
        owner = case.assignment.agent_id
        if owner is not None and (target or _weighs_anew(before[id].ticket, case.ticket)):
            agents.add(owner)
        if target is not None:
            teams.add(target.team)
        elif needs_place(before[id], case):
            teams.add(plan.queue_of(case).team)
    desk = await desk_for(uow, before.values(), agents=agents, teams=teams)
    for id, case in after.items():
        desk.settle(case, targets.get(id))
    await finish(uow, desk, batch[-1][1], origins)


def _tied(before: Mapping[UUID, Case], after: Mapping[UUID, Case]) -> list[Ticket]:
    """Tickets of which it is new whose they are, or what they are linked to."""
    return [
        case.ticket
        for id, case in after.items()
        if case.ticket is not before[id].ticket
        and (case.ticket.links or not before[id].ticket.sequence)
    ]


async def learn(uow: UnitOfWork, ticket: Ticket, origin: Origin) -> None:
    """Know a ticket that somebody asks for before its opening was heard; place nothing yet."""
    (case,) = await tickets.lock_or_make(uow, [ticket.id])
    if case.assignment.state is State.UNPLACED:
        known = heard(case, TicketSeen(ticket))
        queues, rules = await ways.ways(uow.connection)
        # Its text, for which rules may ask, is at hand now and not kept.
        queue = queue_for(known.ticket, rules, queues).slug
        known = replace(known, assignment=replace(known.assignment, queue=queue))
        await tickets.write(uow, [known], {case.id: case.assignment.version})
    else:
        await hear(uow, [(TicketSeen(ticket), origin)])


async def correct(uow: UnitOfWork, owned: Sequence[Ticket], origin: Origin) -> None:
    """Take intake's word for these tickets, unless something newer has been heard meanwhile."""
    words = {ticket.id: ticket for ticket in owned}
    cases = await tickets.lock_or_make(uow, words)
    # What we hold is wrong although we heard of it: let the same number be news once more.
    doubted = [
        replace(case, ticket=replace(case.ticket, sequence=case.ticket.sequence - 1))
        for case in cases
        if case.ticket.sequence == words[case.id].sequence
    ]
    await tickets.write(uow, doubted, {case.id: case.assignment.version for case in doubted})
    await hear(uow, [(TicketSeen(ticket), origin) for ticket in owned])


async def drain(uow: UnitOfWork) -> int:
    """Give what waits to whoever has room; how many found somebody."""
    teams = await tickets.waiting_teams(uow.connection)
    if not teams:
        return 0
    desk = await desk_for(uow, (), teams=teams)
    await finish(uow, desk, Origin(automation("routing"), timer_cause("sweep", new_id())))
    return len(desk.changes)


def _target(desk: Desk, news: Escalated) -> Queue | None:
    queue = desk.queue_of_team(news.teams)
    if queue is None:
        log.warning("escalated_to_nobody", ticket_id=str(news.ticket_id), teams=news.teams)
    return queue


def _weighs_anew(before: Ticket, after: Ticket) -> bool:
    return (before.status, before.priority) != (after.status, after.priority)


def _subject(news: News) -> UUID:
    return news.ticket.id if isinstance(news, TicketSeen) else news.ticket_id
