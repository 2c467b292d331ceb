"""Compares notify's pictures with those who own the facts, and repairs them."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, Protocol, TypeVar
from uuid import UUID

from google.protobuf.timestamp_pb2 import Timestamp
from waybill.common.v1.reconcile_pb2 import Difference, ReconcileReport
from waybill.intake.v1.service_pb2 import StreamTicketsRequest, StreamTicketsResponse
from waybill.routing.v1.service_pb2 import StreamAssignmentsRequest, StreamAssignmentsResponse
from waybill_chassis.database import Database
from waybill_chassis.ids import parse_id
from waybill_chassis.problems import Problem
from waybill_chassis.rpc import Peers

from waybill_notify import store, words
from waybill_notify.consumers import with_assignment, with_ticket
from waybill_notify.events import parse_ticket
from waybill_notify.store import Picture

BATCH = 500
_STREAM_SECONDS = 300.0
_MOST_TOLD = 1000


class _Fact(Protocol):
    sequence: int


Owned = TypeVar("Owned", bound=_Fact)


@dataclass(frozen=True, slots=True)
class Owner(Generic[Owned]):
    """A service that owns facts which notify keeps, and how to compare them."""

    name: str
    stream: Callable[[Sequence[str], Timestamp | None], AsyncIterator[Owned]]
    id_of: Callable[[Owned], str]
    facts: Callable[[Owned], Mapping[str, str]]
    held: Callable[[Picture], Mapping[str, str]]
    held_sequence: Callable[[Picture], int]
    apply: Callable[[Picture, Owned], Picture]


def owners(peers: Peers) -> tuple[Owner[StreamTicketsResponse], Owner[StreamAssignmentsResponse]]:
    """Intake for the tickets, routing for who has them."""

    def tickets(
        ids: Sequence[str], since: Timestamp | None
    ) -> AsyncIterator[StreamTicketsResponse]:
        request = StreamTicketsRequest(ticket_ids=ids, updated_since=since)
        return peers.intake.stream(
            peers.intake.stub.StreamTickets, request, timeout=_STREAM_SECONDS
        )

    def assignments(
        ids: Sequence[str], since: Timestamp | None
    ) -> AsyncIterator[StreamAssignmentsResponse]:
        request = StreamAssignmentsRequest(ticket_ids=ids, updated_since=since)
        return peers.routing.stream(
            peers.routing.stub.StreamAssignments, request, timeout=_STREAM_SECONDS
        )

    return (
        Owner(
            "intake",
            tickets,
            id_of=lambda owned: owned.ticket.id,
            facts=lambda owned: {
                "product": owned.ticket.product,
                "number": owned.ticket.number,
                "status": words.STATUS.get(owned.ticket.status, ""),
                "version": str(owned.ticket.version),
            },
            held=_held_ticket,
            held_sequence=lambda picture: picture.sequence,
            apply=lambda picture, owned: with_ticket(picture, owned.ticket, owned.sequence),
        ),
        Owner(
            "routing",
            assignments,
            id_of=lambda owned: owned.assignment.ticket_id,
            facts=lambda owned: {
                "assignee": owned.assignment.agent.name,
                "team": owned.assignment.team,
            },
            held=lambda picture: {"assignee": picture.assignee_name, "team": picture.team},
            held_sequence=lambda picture: picture.assignment_sequence,
            apply=lambda picture, owned: with_assignment(picture, owned.assignment, owned.sequence),
        ),
    )


def _held_ticket(picture: Picture) -> Mapping[str, str]:
    ticket = parse_ticket(picture.ticket)
    return {
        "product": picture.product,
        "number": ticket.number,
        "status": words.STATUS.get(ticket.status, ""),
        "version": str(ticket.version),
    }


async def reconcile(
    database: Database, peers: Peers, *, repair: bool, since: Timestamp | None, pause: float
) -> ReconcileReport:
    """Compare all pictures with intake and routing.

    What differs is asked for again after `pause` seconds before it counts: it may have been on
    its way.
    """
    report = ReconcileReport()
    compare = partial(_compare_all, database, report, repair=repair, since=since, pause=pause)
    intake, routing = owners(peers)
    for name, comparing in (
        ("intake", partial(compare, intake)),
        ("routing", partial(compare, routing)),
    ):
        try:
            await comparing()
        except Problem:
            report.unreachable.append(name)
    return report


async def _compare_all(
    database: Database,
    report: ReconcileReport,
    owner: Owner[Owned],
    *,
    repair: bool,
    since: Timestamp | None,
    pause: float,
) -> None:
    suspects: list[str] = []
    async for batch in _batches(owner.stream([], since)):
        report.checked += len(batch)
        suspects += [id for id, _, _ in await _differing(database, owner, batch)]
    if not suspects:
        return
    await asyncio.sleep(pause)
    for start in range(0, len(suspects), BATCH):
        again = [owned async for owned in owner.stream(suspects[start : start + BATCH], None)]
        differing = await _differing(database, owner, again)
        repaired = (
            await _repair(database, owner, [owned for _, owned, _ in differing])
            if repair
            else frozenset[str]()
        )
        report.differing += len(differing)
        report.repaired += len(repaired)
        for id, _, differences in differing:
            for difference in differences:
                difference.repaired = id in repaired
            room = _MOST_TOLD - len(report.differences)
            report.differences.extend(differences[: max(room, 0)])


async def _batches(items: AsyncIterator[Owned]) -> AsyncIterator[list[Owned]]:
    batch: list[Owned] = []
    async for item in items:
        batch.append(item)
        if len(batch) == BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


async def _differing(
    database: Database, owner: Owner[Owned], batch: Sequence[Owned]
) -> list[tuple[str, Owned, list[Difference]]]:
    ids = [found for owned in batch if (found := parse_id(owner.id_of(owned))) is not None]
    async with database.reading() as connection:
        pictures = await store.read_pictures(connection, ids)
    differing = []
    for owned in batch:
        id = owner.id_of(owned)
        uuid = parse_id(id)
        if uuid is not None and (differences := _differences(owner, owned, id, pictures.get(uuid))):
            differing.append((id, owned, differences))
    return differing


def _differences(
    owner: Owner[Owned], owned: Owned, id: str, picture: Picture | None
) -> list[Difference]:
    held_sequence = owner.held_sequence(picture) if picture else 0
    if picture is None or held_sequence == 0:
        return [Difference(owner=owner.name, subject=id, field="(missing)")]
    if held_sequence > owned.sequence:
        # We have heard of something newer than the answer.
        return []
    held = owner.held(picture)
    return [
        Difference(owner=owner.name, subject=id, field=name, held=held[name], owned=value)
        for name, value in owner.facts(owned).items()
        if held[name] != value
    ]


async def _repair(
    database: Database, owner: Owner[Owned], several: Sequence[Owned]
) -> frozenset[str]:
    by_id: dict[UUID, Owned] = {
        id: owned for owned in several if (id := parse_id(owner.id_of(owned))) is not None
    }
    async with database.unit_of_work() as uow:
        pictures = await store.lock_pictures(uow, by_id)
        await store.save_pictures(
            uow,
            [
                owner.apply(picture, by_id[id])
                for id, picture in pictures.items()
                # An event may have come first after all.
                if owner.held_sequence(picture) <= by_id[id].sequence
            ],
        )
    return frozenset(str(id) for id in by_id)
