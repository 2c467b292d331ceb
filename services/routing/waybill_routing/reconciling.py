"""Whether routing's picture of the tickets agrees with intake, and its counts with its tickets."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from google.protobuf.timestamp_pb2 import Timestamp
from waybill.common.v1.actor_pb2 import Cause
from waybill.common.v1.reconcile_pb2 import Difference, ReconcileReport
from waybill.intake.v1.service_pb2 import StreamTicketsRequest
from waybill_chassis.causes import automation
from waybill_chassis.problems import Unavailable
from waybill_chassis.service import Runtime

from waybill_routing import usecases
from waybill_routing.domain import Case, State, Ticket
from waybill_routing.events import Origin, from_ticket
from waybill_routing.settings import Settings
from waybill_routing.store import tickets

_AT_ONCE = 500
_MOST_DIFFERENCES = 1000
_STREAM_SECONDS = 600.0
_FIELDS = ("product", "type", "priority", "status", "opened_at")


async def reconcile(
    rt: Runtime[Settings], *, repair: bool, since: Timestamp | None, cause: Cause
) -> ReconcileReport:
    """The report; with `repair` what differs is put right as intake's own event would do it."""
    report = ReconcileReport()
    origin = Origin(automation("routing"), cause)
    try:
        batch: list[Ticket] = []
        async for ticket in _stream(rt, StreamTicketsRequest(updated_since=since)):
            batch.append(ticket)
            if len(batch) == _AT_ONCE:
                await _compare(rt, batch, report, origin, repair=repair)
                batch = []
        await _compare(rt, batch, report, origin, repair=repair)
    except Unavailable:
        report.unreachable.append("intake")
    await _recount(rt, report, repair=repair)
    return report


async def _compare(
    rt: Runtime[Settings],
    batch: Sequence[Ticket],
    report: ReconcileReport,
    origin: Origin,
    *,
    repair: bool,
) -> None:
    """Compare a batch; what differs is looked at again after a moment: it may be on its way."""
    report.checked += len(batch)
    suspects = await _differing(rt, batch)
    if not suspects:
        return
    await asyncio.sleep(rt.settings.reconcile_pause_seconds)
    asked = StreamTicketsRequest(ticket_ids=[str(owned.id) for owned, _ in suspects])
    again = await _differing(rt, [ticket async for ticket in _stream(rt, asked)])
    wrong = {owned.id for owned, _ in again}
    if repair and again:
        words = [owned for owned, _ in again]
        async with rt.database.unit_of_work() as uow:
            await usecases.correct(uow, words, origin)
        wrong = {owned.id for owned, _ in await _differing(rt, words)}
    report.differing += len(again)
    report.repaired += len(again) - len(wrong)
    for owned, held in again:
        for field, held_text, owned_text in _differences(owned, held):
            _add(
                report,
                Difference(
                    owner="intake",
                    subject=str(owned.id),
                    field=field,
                    held=held_text,
                    owned=owned_text,
                    repaired=owned.id not in wrong,
                ),
            )


async def _differing(
    rt: Runtime[Settings], batch: Sequence[Ticket]
) -> list[tuple[Ticket, Case | None]]:
    if not batch:
        return []
    async with rt.database.reading() as connection:
        held = await tickets.read_many(connection, [ticket.id for ticket in batch])
    pairs = [(ticket, held.get(ticket.id)) for ticket in batch]
    return [(owned, case) for owned, case in pairs if _differences(owned, case)]


def _differences(owned: Ticket, held: Case | None) -> list[tuple[str, str, str]]:
    """Field, what we hold and what intake says."""
    if held is None:
        return [("(missing)", "", owned.status)]
    found = [
        (field, _text(getattr(held.ticket, field)), _text(getattr(owned, field)))
        for field in _FIELDS
        if getattr(held.ticket, field) != getattr(owned, field)
    ]
    if owned.open and held.assignment.state is State.UNPLACED:
        found.append(("assignment", State.UNPLACED, "placed"))
    return found


def _text(value: object) -> str:
    return "" if value is None else str(value)


async def _recount(rt: Runtime[Settings], report: ReconcileReport, *, repair: bool) -> None:
    async with rt.database.unit_of_work() as uow:
        wrong = await usecases.recount(uow, repair=repair)
    report.differing += len(wrong)
    report.repaired += len(wrong) if repair else 0
    for agent, counted in wrong:
        _add(
            report,
            Difference(
                owner="routing",
                subject=str(agent.id),
                field="open_tickets",
                held=str(agent.open_tickets),
                owned=str(counted),
                repaired=repair,
            ),
        )


async def _stream(rt: Runtime[Settings], request: StreamTicketsRequest) -> AsyncIterator[Ticket]:
    intake = rt.peers.intake
    async for answer in intake.stream(intake.stub.StreamTickets, request, timeout=_STREAM_SECONDS):
        yield from_ticket(answer.ticket, answer.sequence)


def _add(report: ReconcileReport, difference: Difference) -> None:
    if len(report.differences) < _MOST_DIFFERENCES:
        report.differences.append(difference)
