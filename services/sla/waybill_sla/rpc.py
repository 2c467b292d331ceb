"""The gRPC edge: clocks, what is left, and the comparison with intake and routing."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import grpc.aio
from waybill.sla.v1 import service_pb2
from waybill.sla.v1.service_pb2_grpc import ClockServiceServicer
from waybill_chassis.causes import request_cause
from waybill_chassis.http import Cursor
from waybill_chassis.ids import parse_id
from waybill_chassis.lookup import unknown_ticket
from waybill_chassis.problems import invalid_field
from waybill_chassis.reconciling import reconcile
from waybill_chassis.rpc import authorize
from waybill_chassis.rpc.streaming import AT_ONCE, asked_ids, pages
from waybill_chassis.service import Runtime
from waybill_chassis.times import moment, timestamp

from waybill_sla import events, ledgers, store
from waybill_sla.domain.clock import Clock
from waybill_sla.reconciling import owners
from waybill_sla.settings import Settings

SERVICE = service_pb2.DESCRIPTOR.services_by_name["ClockService"].full_name

_MOST_STRETCHES = 1000

_Context = grpc.aio.ServicerContext[Any, Any]
_Place = tuple[datetime, UUID]
_STREAM = Cursor[_Place]("sla clocks", _Place)
_MOST_AT_ONCE = 10_000


class Clocks(ClockServiceServicer):
    """`waybill.sla.v1.ClockService`."""

    def __init__(self, rt: Runtime[Settings]) -> None:
        """Connects when it is asked."""
        self._rt = rt

    async def GetClock(  # noqa: N802 - the contract names it
        self,
        request: service_pb2.GetClockRequest,
        _context: _Context,
    ) -> service_pb2.GetClockResponse:
        """A ticket's clock with its ledger."""
        caller = authorize("service", "agent")
        id = parse_id(request.ticket_id)
        found = {} if id is None else await self._told([id])
        clock, sequence = found.get(id, (None, 0)) if id is not None else (None, 0)
        if clock is None or clock.ticket is None:
            raise unknown_ticket(request.ticket_id)
        if not caller.can_see_product(clock.ticket.product):
            raise unknown_ticket(request.ticket_id)
        now = self._rt.clock.now()
        async with self._rt.database.reading() as connection:
            lines = await ledgers.last_lines(connection, clock, now, _MOST_STRETCHES)
        return service_pb2.GetClockResponse(
            clock=events.to_clock(clock),
            sequence=sequence,
            segments=events.to_segments(lines),
            remaining=[events.to_remaining(clock, target, now) for target in clock.targets],
        )

    async def GetRemaining(  # noqa: N802 - the contract names it
        self,
        request: service_pb2.GetRemainingRequest,
        _context: _Context,
    ) -> service_pb2.GetRemainingResponse:
        """How much time many tickets have left."""
        caller = authorize("service", "agent")
        if len(request.ticket_ids) > _MOST_AT_ONCE:
            raise invalid_field("ticket_ids", f"must be at most {_MOST_AT_ONCE}")
        asked = {text: parse_id(text) for text in request.ticket_ids}
        async with self._rt.database.reading() as connection:
            found = await store.clocks(connection, filter(None, asked.values()))
        now = self._rt.clock.now()
        answer = service_pb2.GetRemainingResponse(as_of=timestamp(now))
        for text, id in asked.items():
            clock = found.get(id) if id is not None else None
            ticket = clock and clock.ticket
            if not clock or not ticket or not caller.can_see_product(ticket.product):
                answer.unknown_ticket_ids.append(text)
                continue
            answer.tickets.add(
                ticket_id=str(id),
                targets=[
                    events.to_remaining(clock, target, now)
                    for target in clock.targets
                    if target.open
                ],
            )
        return answer

    async def StreamClocks(  # noqa: N802 - the contract names it
        self,
        request: service_pb2.StreamClocksRequest,
        _context: _Context,
    ) -> AsyncIterator[service_pb2.StreamClocksResponse]:
        """All clocks as they stand now, oldest change first."""
        caller = authorize("service", "agent")
        ids, since = asked_ids(request.ticket_ids), moment(request, "updated_since")

        async def read(after: _Place | None) -> list[tuple[_Place, Clock, int]]:
            async with self._rt.database.reading() as connection:
                places = await store.changed_after(
                    connection, since=since, after=after, ids=ids, most=AT_ONCE
                )
            found = await self._told([id for _, id in places])
            return [(place, *found[place[1]]) for place in places]

        async for (_, clock, sequence), cursor in pages(
            _STREAM, request.after_cursor, read, lambda row: row[0]
        ):
            if clock.ticket is not None and caller.can_see_product(clock.ticket.product):
                yield service_pb2.StreamClocksResponse(
                    clock=events.to_clock(clock), sequence=sequence, cursor=cursor
                )

    async def Reconcile(  # noqa: N802 - the contract names it
        self,
        request: service_pb2.ReconcileRequest,
        _context: _Context,
    ) -> service_pb2.ReconcileResponse:
        """Compare sla's picture of the tickets with intake and routing."""
        authorize("admin", "service")
        report = await reconcile(
            owners(self._rt, request_cause(f"{SERVICE}/Reconcile")),
            request,
            pause=self._rt.settings.reconcile_pause_seconds,
        )
        return service_pb2.ReconcileResponse(report=report)

    async def _told(self, ids: Sequence[UUID]) -> dict[UUID, tuple[Clock, int]]:
        """Clocks with the number of the last event that was told of each, both of one moment."""
        async with self._rt.database.reading() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ")
            clocks = await store.clocks(connection, ids)
            numbers = await store.sequences(connection, ids)
        return {id: (clock, numbers.get(id, 0)) for id, clock in clocks.items()}
