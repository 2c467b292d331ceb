"""Roll-ups made anew from what the tickets count for, as of one moment, while tickets change."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection
from waybill_chassis.database import Database, UnitOfWork

from waybill_intake.domain.statistics import FLOW, KINDS, QUARTER
from waybill_intake.domain.statistics_periods import DAY, FLOW_LEVELS, MONTH, OTHER_LEVELS
from waybill_intake.domain.statistics_periods import bucket as begin
from waybill_intake.domain.ticket import Ticket
from waybill_intake.store.rows import to_ticket
from waybill_intake.store.statistics import ADDED, FOLDING, LEVELS, bucket, sums
from waybill_intake.store.tickets import COLUMNS, SOURCE

_SUMMED_AT_ONCE = 20_000
"""Tickets: so that no statement takes longer than the database lets one."""


@dataclass(frozen=True, slots=True)
class State:
    """Whether a rebuild is asked for, and when the last one was done."""

    asked_at: datetime | None
    rebuilt_at: datetime | None


_STATE = text("SELECT asked_at, rebuilt_at FROM statistics_state")
_ASK = text(
    "UPDATE statistics_state SET asked_at = coalesce(asked_at, :now) RETURNING asked_at, rebuilt_at"
)
_DONE = text(
    "UPDATE statistics_state SET rebuilt_at = :now, asked_at = NULL WHERE asked_at = :asked"
)
_NEXT = text(
    f"SELECT {COLUMNS} FROM {SOURCE} WHERE CAST(:after AS uuid) IS NULL OR t.id > :after "
    "ORDER BY t.id LIMIT :most FOR UPDATE OF t"
)
_DAYS = text(
    f"SELECT opened / {DAY} AS day, count(*) AS tickets FROM ticket_statistics "
    "GROUP BY 1 ORDER BY 1"
)

# The finest roll-ups first, from what tickets count for; then all others from these.
_DERIVED = text(
    f"""
    INSERT INTO statistics
    SELECT kind, whole, level, at, product, type, team, key, {sums("v")} FROM (
        SELECT d.kind, w.whole, l.level, {bucket("d.at", "l.level")} AS at, d.product,
               CASE WHEN w.whole THEN '' ELSE d.type END AS type,
               CASE WHEN w.whole THEN '' ELSE d.team END AS team, d.key, d.v
        FROM statistics d JOIN (VALUES {LEVELS}) AS l (kind, level) USING (kind)
        CROSS JOIN (VALUES (true), (false)) AS w (whole)
        WHERE d.kind = :kind AND NOT d.whole AND d.level = :base
        AND d.at >= :start AND d.at < :end AND (w.whole OR l.level <> :base)
    ) AS leveled
    GROUP BY kind, whole, level, at, product, type, team, key
    """
)


def _base(kind: str) -> TextClause:
    """The finest roll-ups of the tickets that were opened in a span."""
    level, at, key = DAY, "t.opened", "c.key"
    if kind == FLOW:
        level, at, key = QUARTER, "c.key::bigint", "''"
    values = ", ".join(f"(c.value->>{place})::bigint" for place in range(len(KINDS[kind])))
    return text(
        f"""
        INSERT INTO statistics AS s
        SELECT '{kind}', false, {level}, at, product, type, team, key, {sums("v", len(KINDS[kind]))}
        FROM (
            SELECT {at} - {at} % {level} AS at, t.product, t.type, t.team, {key} AS key,
                   ARRAY[{values}] AS v
            FROM ticket_statistics t CROSS JOIN LATERAL jsonb_each(t.counted->'{kind}')
                AS c (key, value)
            WHERE t.opened >= :start AND t.opened < :end
        ) AS found
        GROUP BY at, product, type, team, key
        {ADDED}
        """
    )


async def state(connection: AsyncConnection) -> State:
    """Whether a rebuild is asked for."""
    row = (await connection.execute(_STATE)).one()
    return State(row.asked_at, row.rebuilt_at)


async def ask(uow: UnitOfWork) -> State:
    """Ask for a rebuild."""
    row = (await uow.execute(_ASK, {"now": uow.now})).one()
    return State(row.asked_at, row.rebuilt_at)


async def done(uow: UnitOfWork, asked_at: datetime) -> None:
    """What was asked for at that time is done."""
    await uow.execute(_DONE, {"now": uow.now, "asked": asked_at})


async def next_tickets(uow: UnitOfWork, after: UUID | None, most: int) -> list[Ticket]:
    """The tickets after one, in the order of their ids, locked."""
    rows = await uow.execute(_NEXT, {"after": after, "most": most})
    return [to_ticket(row) for row in rows]


@asynccontextmanager
async def only_one(database: Database) -> AsyncIterator[None]:
    """Nobody else folds or rebuilds meanwhile.

    A lock of the session: one of a transaction would be lost with it after ten idle seconds.
    """
    async with database.engine.connect() as connection:
        async with connection.begin():
            await connection.execute(text(f"SELECT pg_advisory_lock({FOLDING})"))
        try:
            yield
        finally:
            async with connection.begin():
                await connection.execute(text(f"SELECT pg_advisory_unlock({FOLDING})"))


async def sum_up(uow: UnitOfWork, tell: Callable[[str], None]) -> None:
    """Put all roll-ups in order, as of one moment; what changes after it is left to be folded."""
    await uow.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
    for kind in KINDS:
        for level in FLOW_LEVELS if kind == FLOW else OTHER_LEVELS:
            await uow.execute(
                text("DELETE FROM statistics WHERE kind = :kind AND level = :level"),
                {"kind": kind, "level": level},
            )
    days = [(row.day, row.tickets) for row in await uow.execute(_DAYS)]
    for start, end in _portions(days):
        for kind in KINDS:
            await uow.execute(_base(kind), {"start": start, "end": end})
        tell(f"summed up to {datetime.fromtimestamp(end, uow.now.tzinfo):%Y-%m-%d}")
    spans = await uow.execute(text("SELECT kind, min(at), max(at) FROM statistics GROUP BY kind"))
    for kind, first, last in spans.all():
        parameters = {"kind": kind, "base": QUARTER if kind == FLOW else DAY}
        for start, end in _months(first, last):
            await uow.execute(_DERIVED, parameters | {"start": start, "end": end})
        tell(f"{kind} rolled up")
    await uow.execute(text("DELETE FROM statistics_deltas"))


def _portions(days: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Spans of whole days with not too many tickets each."""
    start, tickets = None, 0
    for day, count in days:
        if start is not None and tickets + count > _SUMMED_AT_ONCE:
            yield start * DAY, day * DAY
            start, tickets = None, 0
        start, tickets = day if start is None else start, tickets + count
    if start is not None:
        yield start * DAY, (days[-1][0] + 1) * DAY


def _months(first: int, last: int) -> Iterator[tuple[int, int]]:
    """The months of the calendar from that of `first` to that of `last`."""
    marks = [begin(first, MONTH)]
    while marks[-1] <= last:
        marks.append(begin(marks[-1] + 32 * DAY, MONTH))
    yield from pairwise(marks)
