"""Watching what is at risk: all of it first, then what becomes of it.

One reader a process asks the log of changes for news, for any number of those who watch. Whoever
comes back with a position goes on from there, on whatever replica; a change may be told twice, and
each tells the whole state of its target.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from waybill_chassis.clock import Clock
from waybill_chassis.database import Database
from waybill_chassis.http.sse import Broadcast

from waybill_sla.domain.ledger import Calendar
from waybill_sla.domain.timing import remaining
from waybill_sla.domain.watching import RiskChange, Scope, Turn, Watched
from waybill_sla.store import watching as store
from waybill_sla.store.calendars import Key

READ_SECONDS = 1.0
"""How often news is asked for while anybody watches."""

_AT_ONCE = 200
_MARGIN = timedelta(minutes=10)

Place = tuple[datetime, str]
"""When a position was given, and the position."""


@dataclass(frozen=True, slots=True)
class Shown:
    """A watched target with the working time that is left of it; negative when it is overdue."""

    watched: Watched
    remaining: timedelta


@dataclass(frozen=True, slots=True)
class Beginning:
    """All that is at risk follows: what was told before counts no more."""


@dataclass(frozen=True, slots=True)
class Told:
    """What became of a target."""

    turn: Turn
    shown: Shown


@dataclass(frozen=True, slots=True)
class Current:
    """All that happened before `place` has been told."""

    place: Place


@dataclass(frozen=True, slots=True)
class _Batch:
    changes: Sequence[RiskChange] | None
    calendars: Mapping[Key, Calendar]


def left(watched: Watched, calendars: Mapping[Key, Calendar], now: datetime) -> Shown:
    """A target with the working time that is left of it."""
    calendar = calendars[watched.calendar_id, watched.calendar_version]
    return Shown(watched, remaining(watched, now, calendar))


class Watch:
    """The watching of one process."""

    def __init__(self, database: Database, clock: Clock, *, every: float = READ_SECONDS) -> None:
        """News is asked for every `every` seconds."""
        self._database = database
        self._clock = clock
        self._news: Broadcast[str, _Batch] = Broadcast(self._position, self._read, every=every)

    async def follow(
        self, scope: Scope, after: Place | None
    ) -> AsyncGenerator[Beginning | Told | Current, None]:
        """All that is at risk, or what has changed since `after`; then each change in its order."""
        async with self._news.listen() as (position, news):
            since = self._clock.now(), position
            if after is not None and (found := await self._missed(after)) is not None:
                since, batch = found
                for told in self._told(scope, batch):
                    yield told
            else:
                async for told_or_beginning in self._everything(scope):
                    yield told_or_beginning
            yield Current(since)
            async for reached, batch in news:
                now = self._clock.now()
                if batch.changes is None:
                    async for told_or_beginning in self._everything(scope):
                        yield told_or_beginning
                    yield Current((now, reached))
                elif told_now := list(self._told(scope, batch)):
                    for told in told_now:
                        yield told
                    yield Current((now, reached))

    async def _everything(self, scope: Scope) -> AsyncIterator[Beginning | Told]:
        yield Beginning()
        after = None
        while True:
            async with self._database.reading() as connection:
                rows = await store.at_risk(connection, scope, after=after, most=_AT_ONCE)
                calendars = await store.calendars(connection, rows)
            now = self._clock.now()
            for row in rows:
                yield Told(Turn.APPEARED, left(row, calendars, now))
            if len(rows) < _AT_ONCE:
                return
            after = (rows[-1].due_at, rows[-1].ticket_id, rows[-1].target.value)

    def _told(self, scope: Scope, batch: _Batch) -> list[Told]:
        now = self._clock.now()
        return [
            Told(turn, left(change.after, batch.calendars, now))
            for change in batch.changes or ()
            if (turn := scope.turn(change)) is not None
        ]

    async def _missed(self, after: Place) -> tuple[Place, _Batch] | None:
        """What has changed since; None if nobody knows any more, or it is too much."""
        given, position = after
        now = self._clock.now()
        if not now - (store.KEPT - _MARGIN) < given <= now + _MARGIN:
            return None
        async with self._database.reading() as connection:
            if not await store.is_past(connection, position):
                return None
        reached, batch = await self._read(position)
        if batch is not None and batch.changes is None:
            return None
        return (now, reached), batch or _Batch((), {})

    async def _position(self) -> str:
        async with self._database.reading() as connection:
            return await store.position(connection)

    async def _read(self, since: str) -> tuple[str, _Batch | None]:
        async with self._database.reading() as connection:
            news = await store.changes_since(connection, since)
            if news.changes is not None and not news.changes:
                return news.until, None
            calendars = await store.calendars(connection, [c.after for c in news.changes or ()])
        return news.until, _Batch(news.changes, calendars)
