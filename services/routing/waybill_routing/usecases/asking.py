"""What people ask for: a claim, the next ticket, an assignment by hand, a release."""

from collections.abc import Collection
from uuid import UUID

from waybill_chassis.causes import Origin
from waybill_chassis.database import UnitOfWork
from waybill_chassis.lookup import unknown_ticket
from waybill_chassis.problems import check_version, invalid_field

from waybill_routing.domain import (
    Agent,
    AlreadyAssigned,
    Case,
    Desk,
    Method,
    NotAssigned,
    NotYours,
    Queue,
    ReleaseReason,
    TicketClosed,
    UnknownAgent,
)
from waybill_routing.store import people, tickets
from waybill_routing.usecases.desks import desk_for, finish

Held = tuple[Case, Agent | None]
"""A ticket after the change, and who has it."""


async def claim(uow: UnitOfWork, ticket_id: UUID, agent: Agent, origin: Origin) -> Held:
    """The agent takes the ticket, if nobody has it: of any number of claims one wins.

    `AlreadyAssigned` names the winner; `NoRoom`, `TicketClosed`. Claiming one's own accepts it,
    and changes nothing else.
    """
    case = await _held(uow, ticket_id)
    owner = case.assignment.agent_id
    if owner not in (None, agent.id) and not case.ticket.closed:
        # Whoever has lost locks no agent: a herd of claims would queue up behind those rows.
        winner = await people.by_id(uow.connection, owner)
        assert winner is not None
        raise AlreadyAssigned(winner)
    desk = await desk_for(uow, [case], agents={agent.id})
    desk.take(ticket_id, agent.id, Method.CLAIM, f"claimed by {agent.name}")
    return await _done(uow, desk, ticket_id, origin)


async def next_ticket(
    uow: UnitOfWork, agent_id: UUID, products: Collection[str] | None, origin: Origin
) -> Held | None:
    """The best ticket that waits for the agent's teams, now theirs; None when none waits.

    `products` are those they may see, None for all.
    """
    agent = await people.by_id(uow.connection, agent_id)
    if agent is None:
        raise UnknownAgent(agent_id)
    case = await tickets.lock_next(uow, agent_id, agent.teams, products)
    if case is None:
        return None
    desk = await desk_for(uow, [case], agents={agent_id})
    desk.take(
        case.id,
        agent_id,
        Method.NEXT,
        f"next in {case.assignment.queue}, asked for by {agent.name}",
    )
    return await _done(uow, desk, case.id, origin)


async def hand_over(
    uow: UnitOfWork,
    ticket_id: UUID,
    agent_id: UUID,
    *,
    by: Agent | None,
    expected: int | None,
    origin: Origin,
) -> Held:
    """By hand, to an agent, or to whoever stands in for them at present.

    `by` is who must have it to be allowed; None may always.
    """
    case = await _held(uow, ticket_id, by=by, expected=expected)
    to = await people.by_id(uow.connection, agent_id)
    if to is None:
        raise invalid_field("agent_id", "must be the id of an agent")
    why = f"assigned by hand by {_name(origin)}"
    takes = await _present(uow, to)
    if takes.id != to.id:
        why = f"{why} to {to.name}, for whom {takes.name} stands in"
    owner = case.assignment.agent_id
    desk = await desk_for(uow, [case], agents={takes.id, owner or takes.id})
    desk.hand_to(ticket_id, takes.id, why, accepted=_address(origin) == takes.email)
    return await _done(uow, desk, ticket_id, origin)


async def change(
    uow: UnitOfWork,
    ticket_id: UUID,
    team: str,
    *,
    by: Agent | None,
    expected: int | None,
    origin: Origin,
) -> Held:
    """By hand, to another team's queue; whoever has it keeps it if they are in that team too."""
    case = await _held(uow, ticket_id, by=by, expected=expected)
    if case.ticket.closed:
        raise TicketClosed
    owner = case.assignment.agent_id
    desk = await desk_for(uow, [case], agents=[owner] if owner else (), teams=[team])
    queue = _queue(desk, team)
    desk.move(
        ticket_id, queue, ReleaseReason.BY_HAND, f"moved to {team} by hand by {_name(origin)}"
    )
    return await _done(uow, desk, ticket_id, origin)


async def give_back(
    uow: UnitOfWork,
    ticket_id: UUID,
    *,
    by: Agent | None,
    expected: int | None,
    origin: Origin,
) -> Held:
    """Whoever has the ticket no longer has it: somebody else gets it, or it waits."""
    case = await _held(uow, ticket_id, by=by, expected=expected)
    if case.ticket.closed:
        raise TicketClosed
    owner = case.assignment.agent_id
    if owner is None:
        raise NotAssigned
    desk = await desk_for(uow, [case], agents=[owner], teams=[case.assignment.team])
    desk.give_back(ticket_id, f"released by hand by {_name(origin)}")
    return await _done(uow, desk, ticket_id, origin)


async def _present(uow: UnitOfWork, agent: Agent) -> Agent:
    """The agent, or who stands in for them; the first when nobody of them is there."""
    found, asked = agent, {agent.id}
    while found.stand_in is not None and found.stand_in not in asked:
        asked.add(found.stand_in)
        stand_in = await people.by_id(uow.connection, found.stand_in)
        if stand_in is None:
            break
        found = stand_in
    return found


async def _held(
    uow: UnitOfWork, id: UUID, *, by: Agent | None = None, expected: int | None = None
) -> Case:
    case = await tickets.lock(uow, id)
    if case is None:
        raise unknown_ticket(id)
    if by is not None and case.assignment.agent_id != by.id:
        raise NotYours("Only a lead, an admin or the agent who has the ticket may do this.")
    check_version(expected, case.assignment.version)
    return case


async def _done(uow: UnitOfWork, desk: Desk, id: UUID, origin: Origin) -> Held:
    await finish(uow, desk, origin, {id: origin})
    case = desk.cases[id]
    owner = case.assignment.agent_id
    return case, None if owner is None else desk.agents[owner]


def _queue(desk: Desk, team: str) -> Queue:
    queue = desk.queue_of_team([team])
    if queue is None:
        raise invalid_field("team", "must be the slug of a team that has a queue")
    return queue


def _address(origin: Origin) -> str:
    return (origin.actor.email or origin.actor.id).lower()


def _name(origin: Origin) -> str:
    return origin.actor.name or origin.actor.id
