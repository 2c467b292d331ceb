"""The owners of what intake keeps of others: how to ask, compare and repair."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from waybill.common.v1.actor_pb2 import Cause
from waybill.routing.v1.service_pb2 import StreamAssignmentsRequest, StreamAssignmentsResponse
from waybill.sla.v1.service_pb2 import StreamClocksRequest, StreamClocksResponse
from waybill_chassis.events import ticket_id
from waybill_chassis.reconciling import MISSING, Finding, Owner, asking, differing
from waybill_chassis.service import Runtime
from waybill_chassis.times import moment

from waybill_intake import events
from waybill_intake.docket import Docket, Origin
from waybill_intake.domain.facts import Assignment, Facts, Sla
from waybill_intake.domain.ticket import AUTOMATION
from waybill_intake.projections import Projections
from waybill_intake.settings import Settings
from waybill_intake.store import facts


@dataclass(frozen=True, slots=True)
class Owned:
    """What an owner says of a ticket, and since when."""

    ticket_id: UUID
    fact: Assignment | Sla
    since: datetime | None = None


def owners(rt: Runtime[Settings], cause: Cause) -> list[Owner[Owned]]:
    """Routing for who has a ticket, sla for its targets."""

    async def compare(batch: Sequence[Owned]) -> Mapping[UUID, Sequence[Finding]]:
        async with rt.database.reading() as connection:
            known = await facts.read(connection, [owned.ticket_id for owned in batch])
        return {
            owned.ticket_id: _findings(known.get(owned.ticket_id, Facts()), owned)
            for owned in batch
        }

    async def repair(batch: Sequence[Owned]) -> None:
        """Take the owner's word, as its event would have brought it."""
        origin = Origin(AUTOMATION, cause)
        async with rt.database.unit_of_work() as uow:
            docket = Docket(uow)
            ids = [owned.ticket_id for owned in batch]
            await docket.take(ids)
            projections = Projections(docket, await facts.read(uow.connection, ids))
            for owned in batch:
                if isinstance(owned.fact, Sla):
                    projections.know_sla(owned.ticket_id, owned.fact, forced=True)
                else:
                    projections.know_assignment(
                        owned.ticket_id, owned.fact, owned.since or uow.now, origin, forced=True
                    )
            await projections.write()
            await docket.write()

    assignments = asking(
        rt.peers.routing, "StreamAssignments", StreamAssignmentsRequest, _assignment
    )
    clocks = asking(rt.peers.sla, "StreamClocks", StreamClocksRequest, _clock)
    return [
        Owner(name, ask, lambda owned: owned.ticket_id, compare, repair)
        for name, ask in (("routing", assignments), ("sla", clocks))
    ]


def _assignment(answer: StreamAssignmentsResponse) -> Owned:
    assignment = answer.assignment
    return Owned(
        ticket_id(assignment.ticket_id),
        events.from_assignment(assignment, answer.sequence),
        moment(assignment, "since"),
    )


def _clock(answer: StreamClocksResponse) -> Owned:
    return Owned(
        ticket_id(answer.clock.ticket_id), events.from_clock(answer.clock, answer.sequence)
    )


def _findings(known: Facts, owned: Owned) -> list[Finding]:
    held = known.assignment if isinstance(owned.fact, Assignment) else known.sla
    if held.sequence > owned.fact.sequence:
        return []
    found = differing(_values(held), _values(owned.fact))
    return MISSING if found and held.sequence == 0 else found


def _values(fact: Assignment | Sla) -> dict[str, Any]:
    values = asdict(fact)
    del values["sequence"]
    return values
