"""Roll-ups read: sums over spans of time, together with what has not been folded into them yet."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from uuid import UUID

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection
from waybill_chassis.database import Database

from waybill_intake.domain.statistics import FLOW, KINDS, QUARTER, WIDTH
from waybill_intake.domain.statistics_periods import (
    DAY,
    FLOW_LEVELS,
    HOUR,
    TICKETS,
    Run,
    cover,
    joined,
    move,
)
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
    return text(
        f"""
        SELECT part{names}, {sums("v", width)} AS v
        FROM (
            SELECT width_bucket(x.at, CAST(:marks AS bigint[])) - 1 AS part{names}, v FROM unnest(
                CAST(:levels AS integer[]), CAST(:starts AS bigint[]), CAST(:ends AS bigint[])
            ) AS r (level, start, "end")
            CROSS JOIN LATERAL ({_rows(kind, filters, whole, names)}) AS x
            UNION ALL
            SELECT width_bucket(at, CAST(:exact AS bigint[])) - 1{names}, v FROM statistics_deltas
            WHERE kind = '{kind}' AND at >= :first AND at < :last{where}
            UNION ALL
            SELECT 0{names}, ARRAY[{own}] FROM unnest(
                CAST(:own_starts AS bigint[]), CAST(:own_ends AS bigint[])
            ) AS r (start, "end")
            JOIN ticket_statistics t ON t.opened >= r.start AND t.opened < r."end"{where}
            CROSS JOIN LATERAL jsonb_each(t.counted->'{kind}') AS c (key, value)
        ) AS found
        GROUP BY part{names}
        """
    )


def _rows(kind: str, filters: frozenset[str], whole: bool, names: str = "") -> str:
    """SQL: the roll-ups of the run `r`.

    OFFSET 0: each run is looked up in the index, or the planner may read all there is.
    """
    where = "".join(f" AND {_COLUMNS[name]}" for name in sorted(filters))
    if whole:
        where += " AND type = ''"
    elif "type" not in filters:
        where += f" AND type = ANY('{{{','.join(TicketType)}}}')"
    return (
        f"SELECT at{names}, v FROM statistics WHERE kind = '{kind}' "
        f"AND whole = {str(whole).lower()} AND level = r.level "
        f'AND at >= r.start AND at < r."end"{where} OFFSET 0'
    )


@cache
def _shifts(filters: frozenset[str], whole: bool, width: int) -> TextClause:
    return text(
        f"""
        SELECT r.mark, ARRAY[{", ".join(f"sum(r.sign * v[{n}])::bigint" for n in _places(width))}]
        FROM unnest(
            CAST(:marks AS integer[]), CAST(:signs AS integer[]), CAST(:levels AS integer[]),
            CAST(:starts AS bigint[]), CAST(:ends AS bigint[])
        ) AS r (mark, sign, level, start, "end")
        CROSS JOIN LATERAL ({_rows(FLOW, filters, whole)}) AS x
        GROUP BY r.mark
        """
    )


def _places(width: int) -> range:
    return range(1, width + 1)


async def read_flows(
    connection: AsyncConnection, scope: Scope, marks: Sequence[int], width: int = WIDTH
) -> dict[int, list[int]]:
    """What happened between each two marks.

    The marks are moved to the next whole day (or hour, where they are not days apart), so that
    few coarse roll-ups do; what lies between a mark and where it was moved to is read once, and
    put from the one of its neighbours to the other.
    """
    width = min(width, len(KINDS[FLOW]))
    gaps = sorted(end - start for start, end in pairwise(marks))
    levels = FLOW_LEVELS[1:] if gaps[len(gaps) // 2] >= DAY // 2 else (HOUR, QUARTER)
    moved = [move(mark, levels) for mark in marks]
    coarse = [at for at, _ in moved]
    runs = [run for start, end in pairwise(coarse) for run in cover(start, end, FLOW_LEVELS)]
    found = await read(connection, scope, FLOW, runs, coarse, exact=marks, width=width)
    flows = {int(part): values for (part,), values in found.items()}
    steps = [(index, step) for index, (_, steps) in enumerate(moved) for step in steps]
    filters = {name for name in _COLUMNS if getattr(scope, name) is not None}
    rows = await connection.execute(
        _shifts(frozenset(filters), not filters & {"type", "team"}, width),
        {name: getattr(scope, name) for name in filters}
        | {
            "marks": [index for index, _ in steps],
            "signs": [step.sign for _, step in steps],
            "levels": [step.run.level for _, step in steps],
            "starts": [step.run.start for _, step in steps],
            "ends": [step.run.end for _, step in steps],
        },
    )
    for mark, values in rows:
        for part, sign in ((mark - 1, 1), (mark, -1)):
            if 0 <= part < len(marks) - 1:
                sums_of = flows.setdefault(part, [0] * len(KINDS[FLOW]))
                for place, value in enumerate(values):
                    sums_of[place] += sign * (value or 0)
    return flows


async def read(
    connection: AsyncConnection,
    scope: Scope,
    kind: str,
    runs: Iterable[Run],
    marks: Sequence[int] = (),
    by: tuple[str, ...] = (),
    width: int = WIDTH,
    exact: Sequence[int] = (),
) -> dict[tuple[int | str, ...], list[int]]:
    """The sums of a kind over runs, by part and by `type` or `key` if asked for.

    `marks` are where the parts begin, all runs together being one part by default. `width` is how
    many of the kind's numbers are wanted. `exact` are the marks for what is not rolled up yet.
    """
    runs = list(runs)
    marks = list(marks) or [min((run.start for run in runs), default=0)]
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
            "marks": marks,
            "exact": list(exact) or marks,
            "first": exact[0] if exact else min((run.start for run in rolled), default=0),
            "last": exact[-1] if exact else max((run.end for run in rolled), default=0),
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
