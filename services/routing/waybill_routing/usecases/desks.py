"""Setting up a desk, and writing down what was decided at it."""

from collections.abc import Collection, Iterable, Mapping
from uuid import UUID

from waybill_chassis.causes import Origin
from waybill_chassis.database import UnitOfWork

from waybill_routing import events
from waybill_routing.domain import Case, Desk, UnknownAgent
from waybill_routing.domain.strategies import Knowledge
from waybill_routing.kept_settings import RoutingSettings
from waybill_routing.store import decisions, handling, people, tickets, ties, ways


async def desk_for(
    uow: UnitOfWork,
    cases: Iterable[Case],
    *,
    agents: Collection[UUID] = (),
    teams: Collection[str] = (),
) -> Desk:
    """A desk with locked tickets; agents, and everybody of teams, are locked now.

    `UnknownAgent` when one of `agents` was removed meanwhile.
    """
    queues, rules = await ways.ways(uow.connection)
    locked = await people.lock(uow, agents, teams)
    if missing := set(agents) - {agent.id for agent in locked}:
        raise UnknownAgent(missing.pop())
    return Desk(
        cases,
        locked,
        queues=queues,
        rules=rules,
        now=uow.now,
        weights=(await uow.settings()).of(RoutingSettings).weights,
    )


async def finish(
    uow: UnitOfWork, desk: Desk, origin: Origin, origins: Mapping[UUID, Origin] | None = None
) -> None:
    """Give what waits to whoever has room, write everything down, tell it.

    What no entry of `origins` explains, such as a ticket that got an agent because another one
    was closed, is the automation's doing, by the cause of `origin`.
    """
    if vacancies := desk.vacancies():
        desk.add(await tickets.lock_waiting(uow, vacancies, but=desk.cases))
    if weighed := desk.weighed:
        desk.knowledge = Knowledge(
            await handling.known(uow.connection, desk.agents),
            await ties.familiar(uow.connection, weighed),
            await people.members(uow.connection, desk.weighed_in),
        )
    desk.place_waiting()
    await handling.learn(uow, desk.solved)
    others = origin.by_itself("routing")
    explained = origins or {}

    def of(id: UUID) -> Origin:
        return explained.get(id, others)

    await tickets.write(uow, desk.changed_cases(), desk.versions_before())
    await people.write_loads(uow, desk.changed_agents())
    await decisions.write(
        uow, desk.changes, [of(change.ticket_id).cause.id for change in desk.changes]
    )
    events.tell(uow, desk.changes, of)
