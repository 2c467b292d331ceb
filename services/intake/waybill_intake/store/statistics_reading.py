"""Roll-ups read: sums over spans of time, together with what has not been folded into them yet."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection
from waybill_chassis.database import Database

from waybill_intake.domain.statistics import KINDS, WIDTH
from waybill_intake.domain.statistics_periods import TICKETS, Run, joined
from waybill_intake.domain.words import TicketType
from waybill_intake.store.statistics import sums


@dataclass(frozen=True, slots=True)
class Scope:
    """Which tickets are counted; None means any."""

    products: Sequence[str] | None = None
    type: str | None = None
    team: str | None = None


_COLUMNS = {"products": "product = ANY(CAST(:products AS text[]))"} | {
    name: f"{name} = :{name}" for name in ("type", "team")
}


@asynccontextmanager
async def snapshot(database: Database) -> AsyncIterator[AsyncConnection]:
    """A connection on which everything is read as of one moment."""
    async with database.reading() as connection:
        await connection.execute(text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
        yield connection


@cache
def _query(
    kind: str, filters: frozenset[str], by: tuple[str, ...], whole: bool, width: int
) -> TextClause:
    names = "".join(f", {name}" for name in by)
    where = "".join(f" AND {_COLUMNS[name]}" for name in sorted(filters))
    own = ", ".join(f"(c.value->>{place})::bigint" for place in range(width))
    types = f" AND type = ANY('{{{','.join(TicketType)}}}')"
    if whole or "type" in filters:
        types = " AND type = ''" if whole else ""
    # OFFSET 0: each run is looked up in the index, or the planner may read all there is.
    return text(
        f"""
        SELECT width_bucket(at, CAST(:marks AS bigint[])) - 1 AS part{names},
               {sums("v", width)} AS v
        FROM (
            SELECT x.* FROM unnest(
                CAST(:levels AS integer[]), CAST(:starts AS bigint[]), CAST(:ends AS bigint[])
            ) AS r (level, start, "end")
            CROSS JOIN LATERAL (
                SELECT at{names}, v FROM statistics
                WHERE kind = '{kind}' AND whole = {str(whole).lower()} AND level = r.level
               {types} AND at >= r.start AND at < r."end"{where} OFFSET 0
            ) AS x
            UNION ALL
            SELECT at{names}, v FROM statistics_deltas
            WHERE kind = '{kind}' AND at >= :first AND at < :last{where}
            UNION ALL
            SELECT t.opened{names}, ARRAY[{own}] FROM unnest(
                CAST(:own_starts AS bigint[]), CAST(:own_ends AS bigint[])
            ) AS r (start, "end")
            JOIN ticket_statistics t ON t.opened >= r.start AND t.opened < r."end"{where}
            CROSS JOIN LATERAL jsonb_each(t.counted->'{kind}') AS c (key, value)
        ) AS found
        GROUP BY part{names}
        """
    )


async def read(
    connection: AsyncConnection,
    scope: Scope,
    kind: str,
    runs: Iterable[Run],
    marks: Sequence[int] = (),
    by: tuple[str, ...] = (),
    width: int = WIDTH,
) -> dict[tuple[int | str, ...], list[int]]:
    """The sums of a kind over runs, by part and by `type` or `key` if asked for.

    `marks` are where the parts begin, all runs together being one part by default. `width` is how
    many of the kind's numbers are wanted.
    """
    runs = list(runs)
    rolled = joined([run for run in runs if run.level != TICKETS])
    own = [run for run in runs if run.level == TICKETS]
    filters = {name for name in _COLUMNS if getattr(scope, name) is not None}
    whole = not filters & {"type", "team"} and "type" not in by
    rows = await connection.execute(
        _query(kind, frozenset(filters), by, whole, min(width, len(KINDS[kind]))),
        {name: getattr(scope, name) for name in filters}
        | {
            "levels": [run.level for run in rolled],
            "starts": [run.start for run in rolled],
            "ends": [run.end for run in rolled],
            "own_starts": [run.start for run in own],
            "own_ends": [run.end for run in own],
            "marks": list(marks) or [min((run.start for run in runs), default=0)],
            "first": min((run.start for run in rolled), default=0),
            "last": max((run.end for run in rolled), default=0),
        },
    )
    full = len(KINDS[kind])
    found = {}
    for *group, values in rows:
        if values is not None:
            padded = [*values, *[0] * (full - len(values))]
            found[tuple(group)] = [value or 0 for value in padded]
    return found


async def knows_product(connection: AsyncConnection, product: str) -> bool:
    """Whether there has been a ticket of this product."""
    found = await connection.execute(
        text("SELECT EXISTS (SELECT FROM ticket_list WHERE product = :product)"),
        {"product": product},
    )
    return bool(found.scalar())


async def names(connection: AsyncConnection, agents: Sequence[str]) -> Mapping[str, str]:
    """What agents are called."""
    rows = await connection.execute(
        text(
            "SELECT agent, name FROM statistics_agents WHERE agent = ANY(CAST(:agents AS text[]))"
        ),
        {"agents": list(agents)},
    )
    return {row.agent: row.name for row in rows}


@dataclass(frozen=True, slots=True)
class Root:
    """The oldest ticket of a cluster, and the one that it is like itself."""

    id: str
    number: str
    title: str
    cluster: str


async def roots(connection: AsyncConnection, scope: Scope, ids: Sequence[str]) -> dict[str, Root]:
    """The tickets among `ids` that are of the products counted."""
    rows = await connection.execute(
        text(
            "SELECT t.id, t.number, t.title, coalesce(s.history->>'cluster', '') AS cluster "
            "FROM tickets t LEFT JOIN ticket_statistics s ON s.ticket_id = t.id "
            "WHERE t.id = ANY(CAST(:ids AS uuid[])) AND (CAST(:products AS text[]) IS NULL "
            "OR t.product = ANY(CAST(:products AS text[])))"
        ),
        {"ids": [UUID(id) for id in ids], "products": scope.products},
    )
    return {str(row.id): Root(str(row.id), row.number, row.title, row.cluster) for row in rows}
