"""Compares what sla knows of others' facts with the owners, and puts right what differs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp
from waybill.common.v1.reconcile_pb2 import Difference, ReconcileReport
from waybill.intake.v1.service_pb2 import StreamTicketsRequest
from waybill.routing.v1.service_pb2 import StreamAssignmentsRequest
from waybill_chassis.causes import automation, request_cause
from waybill_chassis.database import Database
from waybill_chassis.problems import Unavailable
from waybill_chassis.rpc import Peers

from waybill_sla import events, store, usecases
from waybill_sla.domain.clock import Clock
from waybill_sla.domain.policy import Rules
from waybill_sla.domain.ticket import Ticket, Wait

BATCH = 500
MOST_DIFFERENCES = 1000
_STREAM_SECONDS = 300.0

_TICKET_FIELDS = (
    "product",
    "type",
    "priority",
    "status",
    "status_since",
    "episode",
    "first_response_at",
    "resolved_at",
    "reopenings",
    "submitter_id",
    "submitter_email",
)

Owned = Ticket | Wait


@dataclass(frozen=True, slots=True)
class _Owner:
    """An owner of facts: how to ask for all of them, and for those of some tickets."""

    name: str
    facts: Callable[[datetime | None, Sequence[UUID]], AsyncIterator[tuple[UUID, Owned]]]


async def compare(
    database: Database,
    peers: Peers,
    rules: Rules,
    *,
    repair: bool,
    since: datetime | None,
    moment_seconds: float,
) -> ReconcileReport:
    """Compare with intake and routing; an owner that is away is named in the report.

    What differs is looked at again after `moment_seconds`: most of it was merely on its way.
    """
    report = ReconcileReport()
    for owner in _owners(peers):
        try:
            await _compare_with(owner, database, rules, report, repair, since, moment_seconds)
        except Unavailable:
            report.unreachable.append(owner.name)
    return report


async def _compare_with(
    owner: _Owner,
    database: Database,
    rules: Rules,
    report: ReconcileReport,
    repair: bool,
    since: datetime | None,
    moment_seconds: float,
) -> None:
    suspects: list[UUID] = []

    async def look(batch: dict[UUID, Owned]) -> None:
        report.checked += len(batch)
        suspects.extend(await _differing(database, batch))

    await _in_batches(owner.facts(since, ()), look)
    if not suspects:
        return
    await asyncio.sleep(moment_seconds)

    async def look_again(batch: dict[UUID, Owned]) -> None:
        found = await _differing(database, batch)
        if repair and found:
            await _repair(database, rules, {id: batch[id] for id in found})
        report.differing += len(found)
        report.repaired += len(found) if repair else 0
        for id, differences in found.items():
            for field, held, owned in differences:
                if len(report.differences) < MOST_DIFFERENCES:
                    report.differences.append(
                        Difference(
                            owner=owner.name,
                            subject=str(id),
                            field=field,
                            held=held,
                            owned=owned,
                            repaired=repair,
                        )
                    )

    for start in range(0, len(suspects), BATCH):
        await _in_batches(owner.facts(None, suspects[start : start + BATCH]), look_again)


async def _in_batches(
    facts: AsyncIterator[tuple[UUID, Owned]],
    look: Callable[[dict[UUID, Owned]], Awaitable[None]],
) -> None:
    batch: dict[UUID, Owned] = {}
    async for id, fact in facts:
        batch[id] = fact
        if len(batch) == BATCH:
            await look(batch)
            batch = {}
    if batch:
        await look(batch)


_Differences = list[tuple[str, str, str]]


async def _differing(database: Database, batch: dict[UUID, Owned]) -> dict[UUID, _Differences]:
    async with database.reading() as connection:
        clocks = await store.clocks(connection, batch)
    compared = ((id, _differences(clocks.get(id), fact)) for id, fact in batch.items())
    return {id: differences for id, differences in compared if differences}


def _differences(clock: Clock | None, fact: Owned) -> _Differences:
    if isinstance(fact, Wait):
        held = clock.wait if clock is not None else None
        fields: tuple[str, ...] = ("unassigned_since",)
    else:
        held = clock.ticket if clock is not None else None  # type: ignore[assignment]
        fields = _TICKET_FIELDS
    if held is None:
        return [("(missing)", "", "")]
    if held.sequence > fact.sequence:
        return []
    return [
        (field, _text(getattr(held, field)), _text(getattr(fact, field)))
        for field in fields
        if getattr(held, field) != getattr(fact, field)
    ]


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value.isoformat() if isinstance(value, datetime) else str(value)


async def _repair(database: Database, rules: Rules, batch: dict[UUID, Owned]) -> None:
    actor = automation("sla")
    cause = request_cause("waybill.sla.v1.ClockService/Reconcile")
    async with database.unit_of_work() as uow:
        news = [
            usecases.News(
                id,
                fact,
                fact.status_since if isinstance(fact, Ticket) else uow.now,
                actor,
                cause,
                again=True,
            )
            for id, fact in batch.items()
        ]
        await usecases.hear(uow, news, rules)


def _owners(peers: Peers) -> tuple[_Owner, ...]:
    async def tickets(
        since: datetime | None, ids: Sequence[UUID]
    ) -> AsyncIterator[tuple[UUID, Owned]]:
        request = StreamTicketsRequest(
            updated_since=_since(since), ticket_ids=[str(id) for id in ids]
        )
        stub = peers.intake.stub
        async for answer in peers.intake.stream(
            stub.StreamTickets, request, timeout=_STREAM_SECONDS
        ):
            ticket = events.from_ticket(answer.ticket, answer.sequence)
            yield ticket.id, ticket

    async def assignments(
        since: datetime | None, ids: Sequence[UUID]
    ) -> AsyncIterator[tuple[UUID, Owned]]:
        request = StreamAssignmentsRequest(
            updated_since=_since(since), ticket_ids=[str(id) for id in ids]
        )
        stub = peers.routing.stub
        async for answer in peers.routing.stream(
            stub.StreamAssignments, request, timeout=_STREAM_SECONDS
        ):
            wait = events.from_assignment(answer.assignment, answer.sequence)
            yield events.ticket_id(answer.assignment.ticket_id), wait

    return (_Owner("intake", tickets), _Owner("routing", assignments))


def _since(moment: datetime | None) -> Timestamp | None:
    return None if moment is None else events.stamp(moment)
