"""The gRPC edge: clocks, what is left, and the comparison with intake and routing."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import grpc.aio
from waybill.sla.v1 import service_pb2
from waybill.sla.v1.service_pb2_grpc import ClockServiceServicer
from waybill_chassis.clock import Clock as Now
from waybill_chassis.database import Database
from waybill_chassis.http import Cursor
from waybill_chassis.ids import parse_id
from waybill_chassis.problems import NotFound, invalid_field
from waybill_chassis.rpc import Peers, authorize

from waybill_sla import events, reconcile, store
from waybill_sla.domain.clock import Clock
from waybill_sla.domain.policy import Rules

MOST_IDS = 1000
_PAGE = 500
_Context = grpc.aio.ServicerContext[Any, Any]
_STREAM = Cursor[tuple[datetime, UUID]]("sla clocks", tuple[datetime, UUID])


class Clocks(ClockServiceServicer):
    """Answers what others ask about clocks."""

    def __init__(
        self,
        database: Database,
        peers: Peers,
        rules: Rules,
        clock: Now,
        *,
        moment_seconds: float = 2.0,
    ) -> None:
        """Connects to nothing yet. A comparison looks again after `moment_seconds`."""
        self._database = database
        self._peers = peers
        self._rules = rules
        self._clock = clock
        self._moment_seconds = moment_seconds

    async def GetClock(  # noqa: N802 - the contract names it
        self,
        request: service_pb2.GetClockRequest,
        _context: _Context,
    ) -> service_pb2.GetClockResponse:
        """A ticket's clock with its whole ledger."""
        caller = authorize("service", "agent")
        id = parse_id(request.ticket_id)
        found = {} if id is None else await self._told([id])
        clock, sequence = found.get(id, (None, 0)) if id is not None else (None, 0)
        if clock is None or clock.ticket is None:
            raise NotFound("No clock is known for this ticket.")
        if not caller.can_see_product(clock.ticket.product):
            raise NotFound("No clock is known for this ticket.")
        now = self._clock.now()
        return service_pb2.GetClockResponse(
            clock=events.to_clock(clock),
            sequence=sequence,
            segments=events.to_segments(clock, now),
            remaining=[events.to_remaining(clock, target, now) for target in clock.targets],
        )

    async def GetRemaining(  # noqa: N802 - the contract names it
        self,
        request: service_pb2.GetRemainingRequest,
        _context: _Context,
    ) -> service_pb2.GetRemainingResponse:
        """How much time many tickets have left."""
        caller = authorize("service", "agent")
        ids = _ids(request.ticket_ids)
        found = await self._told(ids)
        now = self._clock.now()
        answer = service_pb2.GetRemainingResponse(as_of=events.stamp(now))
        for id in ids:
            clock, _ = found.get(id, (None, 0))
            if clock is None or clock.ticket is None:
                continue
            if not caller.can_see_product(clock.ticket.product):
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
        ids = _ids(request.ticket_ids) if request.ticket_ids else None
        since = events.moment(request.updated_since) if request.HasField("updated_since") else None
        after = _STREAM.decode(request.after_cursor or None)
        while True:
            async with self._database.reading() as connection:
                places = await store.changed_after(
                    connection, since=since, after=after, ids=ids, most=_PAGE
                )
            found = await self._told([id for _, id in places])
            for place in places:
                clock, sequence = found[place[1]]
                if clock.ticket is None or not caller.can_see_product(clock.ticket.product):
                    continue
                yield service_pb2.StreamClocksResponse(
                    clock=events.to_clock(clock), sequence=sequence, cursor=_STREAM.encode(place)
                )
            if len(places) < _PAGE:
                return
            after = places[-1]

    async def Reconcile(  # noqa: N802 - the contract names it
        self,
        request: service_pb2.ReconcileRequest,
        _context: _Context,
    ) -> service_pb2.ReconcileResponse:
        """Compare sla's picture of the tickets with intake and routing."""
        authorize("admin", "service")
        since = events.moment(request.updated_since) if request.HasField("updated_since") else None
        report = await reconcile.compare(
            self._database,
            self._peers,
            self._rules,
            repair=request.repair,
            since=since,
            moment_seconds=self._moment_seconds,
        )
        return service_pb2.ReconcileResponse(report=report)

    async def _told(self, ids: Sequence[UUID]) -> dict[UUID, tuple[Clock, int]]:
        """Clocks with the number of the last event that was told of each, both of one moment."""
        async with self._database.reading() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ")
            clocks = await store.clocks(connection, ids)
            numbers = await store.sequences(connection, ids)
        return {id: (clock, numbers.get(id, 0)) for id, clock in clocks.items()}


def _ids(texts: Sequence[str]) -> list[UUID]:
    if len(texts) > MOST_IDS:
        raise invalid_field("ticket_ids", f"must have at most {MOST_IDS} items")
    return [id for text in texts if (id := parse_id(text)) is not None]
