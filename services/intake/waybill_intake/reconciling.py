"""Compares the projections with their owners, and puts right what differs."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp
from waybill.common.v1.reconcile_pb2 import Difference, ReconcileReport
from waybill.routing.v1.service_pb2 import StreamAssignmentsRequest
from waybill.sla.v1.service_pb2 import StreamClocksRequest
from waybill_chassis.causes import request_cause
from waybill_chassis.problems import Unavailable
from waybill_chassis.service import Runtime

from waybill_intake import events
from waybill_intake.docket import Docket, Origin
from waybill_intake.domain.facts import Assignment, Facts, Sla
from waybill_intake.domain.ticket import AUTOMATION
from waybill_intake.projections import Projections
from waybill_intake.settings import Settings
from waybill_intake.store import facts

_AT_ONCE = 500
_MOST_TOLD = 1000
_ANSWER_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Owned:
    """What an owner says of a ticket, and since when."""

    ticket_id: UUID
    fact: Assignment | Sla
    since: datetime | None


Ask = Callable[[Timestamp | None, Sequence[UUID]], AsyncIterator[Owned]]


async def reconcile(
    rt: Runtime[Settings], *, repair: bool, since: Timestamp | None
) -> ReconcileReport:
    """The report; an owner that is away is named in it."""
    report = ReconcileReport()
    owners: Mapping[str, Ask] = {
        "routing": lambda since, ids: _assignments(rt, since, ids),
        "sla": lambda since, ids: _clocks(rt, since, ids),
    }
    for owner, ask in owners.items():
        try:
            await _compare(rt, owner, ask, report, repair=repair, since=since)
        except Unavailable:
            report.unreachable.append(owner)
    return report


async def _assignments(
    rt: Runtime[Settings], since: Timestamp | None, ids: Sequence[UUID]
) -> AsyncIterator[Owned]:
    peer = rt.peers.routing
    request = StreamAssignmentsRequest(updated_since=since, ticket_ids=map(str, ids))
    async for item in peer.stream(peer.stub.StreamAssignments, request, timeout=_ANSWER_SECONDS):
        if id := events.ticket_id(item.assignment.ticket_id):
            fact = events.from_assignment(item.assignment, item.sequence)
            yield Owned(id, fact, events.moment(item.assignment, "since"))


async def _clocks(
    rt: Runtime[Settings], since: Timestamp | None, ids: Sequence[UUID]
) -> AsyncIterator[Owned]:
    peer = rt.peers.sla
    request = StreamClocksRequest(updated_since=since, ticket_ids=map(str, ids))
    async for item in peer.stream(peer.stub.StreamClocks, request, timeout=_ANSWER_SECONDS):
        if id := events.ticket_id(item.clock.ticket_id):
            yield Owned(id, events.from_clock(item.clock, item.sequence), None)


async def _compare(
    rt: Runtime[Settings],
    owner: str,
    ask: Ask,
    report: ReconcileReport,
    *,
    repair: bool,
    since: Timestamp | None,
) -> None:
    suspects: list[UUID] = []
    async for batch in _batches(ask(since, ())):
        report.checked += len(batch)
        suspects += [owned.ticket_id for owned, _ in await _differing(rt, batch)]
    if not suspects:
        return
    # What is merely on its way has arrived a moment later.
    await asyncio.sleep(rt.settings.reconcile_pause_seconds)
    for start in range(0, len(suspects), _AT_ONCE):
        batch = [owned async for owned in ask(None, suspects[start : start + _AT_ONCE])]
        differing = await _differing(rt, batch)
        if repair and differing:
            await _repair(rt, [owned for owned, _ in differing])
            report.repaired += len(differing)
        report.differing += len(differing)
        for owned, held in differing:
            for difference in _differences(owner, owned, held, repaired=repair):
                if len(report.differences) < _MOST_TOLD:
                    report.differences.append(difference)


async def _batches(items: AsyncIterator[Owned]) -> AsyncIterator[list[Owned]]:
    batch: list[Owned] = []
    async for item in items:
        batch.append(item)
        if len(batch) == _AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


async def _differing(
    rt: Runtime[Settings], batch: Sequence[Owned]
) -> list[tuple[Owned, Assignment | Sla]]:
    """What is held otherwise, and is not newer than what the owner just said."""
    async with rt.database.reading() as connection:
        known = await facts.read(connection, [owned.ticket_id for owned in batch])
    found = []
    for owned in batch:
        held = _held(known.get(owned.ticket_id, Facts()), owned)
        if held.sequence <= owned.fact.sequence and _values(held) != _values(owned.fact):
            found.append((owned, held))
    return found


def _held(known: Facts, owned: Owned) -> Assignment | Sla:
    return known.assignment if isinstance(owned.fact, Assignment) else known.sla


def _values(fact: Assignment | Sla) -> dict[str, Any]:
    values = asdict(fact)
    del values["sequence"]
    return values


def _differences(
    owner: str, owned: Owned, held: Assignment | Sla, *, repaired: bool
) -> list[Difference]:
    common: dict[str, Any] = {
        "owner": owner,
        "subject": str(owned.ticket_id),
        "repaired": repaired,
    }
    if held.sequence == 0:
        return [Difference(**common, field="(missing)")]
    ours, theirs = _values(held), _values(owned.fact)
    return [
        Difference(**common, field=name, held=_text(ours[name]), owned=_text(theirs[name]))
        for name in ours
        if ours[name] != theirs[name]
    ]


def _text(value: Any) -> str:
    return "" if value is None else str(value)


async def _repair(rt: Runtime[Settings], differing: Sequence[Owned]) -> None:
    """Take the owner's word, as its event would have brought it."""
    origin = Origin(AUTOMATION, request_cause("waybill.intake.v1.TicketService/Reconcile"))
    async with rt.database.unit_of_work() as uow:
        docket = Docket(uow)
        ids = [owned.ticket_id for owned in differing]
        await docket.take(ids)
        projections = Projections(docket, await facts.read(uow.connection, ids))
        for owned in differing:
            if isinstance(owned.fact, Sla):
                projections.know_sla(owned.ticket_id, owned.fact, forced=True)
            else:
                projections.know_assignment(
                    owned.ticket_id, owned.fact, owned.since or uow.now, origin, forced=True
                )
        await projections.write()
        await docket.write()
