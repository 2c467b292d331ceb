"""Lists, searches and counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from waybill_intake.store.facts import of_row
from waybill_intake.store.finding.asked import Asked, Filter, Order, Sort
from waybill_intake.store.lists import FACTS, Seen
from waybill_intake.store.rows import to_ticket
from waybill_intake.store.tickets import COLUMNS

MOST_COUNTED = 10_000
"""Counts are exact up to here."""

Place = tuple[int, datetime, UUID]
"""Where a ticket stands in a list: haste (0 where it does not count), moment, id."""

# Each filter is another question, and a plan that suits the average of them suits none. A list
# wants its first page, so what reads a table from end to end is never the way to it. And what is
# asked for all day lies in memory, where looking at a row costs much, and fetching its page little:
# with the costs of disks the planner walks through a thousand rows rather than fetch a hundred, and
# has others fetch ahead what is there.
_PLANNING = {
    "plan_cache_mode": "force_custom_plan",
    "enable_seqscan": "off",
    "seq_page_cost": "0.05",
    "random_page_cost": "0.1",
    "cpu_tuple_cost": "0.05",
    "cpu_operator_cost": "0.001",
    "effective_io_concurrency": "0",
    "max_parallel_workers_per_gather": "0",
}
_PREPARE = text(
    "SELECT "
    + ", ".join(f"set_config('{name}', '{value}', true)" for name, value in _PLANNING.items())
)
_KEYS = {
    Sort.CREATED: ("created_at", "ticket_id"),
    Sort.UPDATED: ("updated_at", "ticket_id"),
    # Sorted so, the most urgent come first and the oldest of them.
    Sort.PRIORITY: ("haste", "created_at", "ticket_id"),
    Sort.DUE: ("due_at", "ticket_id"),
}


_NOTHING = "SELECT ticket_id, 0 AS haste, created_at AS moment FROM ticket_list WHERE false"


@dataclass(frozen=True, slots=True)
class Found:
    """A ticket and where it stands in the list."""

    seen: Seen
    place: Place


async def prepare(connection: AsyncConnection) -> None:
    """Have the planner look at each question anew, until the transaction ends."""
    await connection.execute(_PREPARE)


def statement(
    filter: Filter, sort: Sort, order: Order, after: Place | None, limit: int
) -> tuple[str, dict[str, Any]]:
    """The query for a page of a list, and its parameters."""
    asked = Asked(filter, sort=sort)
    keys = _KEYS[sort]
    # The most urgent has the least number: downwards is upwards there.
    down = (order is Order.DESC) != (sort is Sort.PRIORITY)
    if after is not None:
        mine = ", ".join(f"l.{key}" for key in keys)
        places = ", ".join("{}" for _ in keys)
        asked.require(f"({mine}) {'<' if down else '>'} ({places})", *after[-len(keys) :])
    way = " DESC" if down else ""
    haste = "l.haste" if sort is Sort.PRIORITY else "0"
    parts = " UNION ALL ".join(
        f"(SELECT l.ticket_id, {haste} AS haste, l.{keys[-2]} AS moment FROM {part} "
        f"ORDER BY {', '.join(f'l.{key}{way}' for key in keys)} LIMIT :limit)"
        for part in asked.parts()
    )
    placed = f"p.haste{way}, p.moment{way}, p.ticket_id{way}"
    return (
        f"WITH p AS MATERIALIZED (SELECT * FROM ({parts or _NOTHING}) p ORDER BY {placed} "
        f"LIMIT :limit) SELECT {COLUMNS}, {FACTS}, p.haste, p.moment FROM p "
        "JOIN tickets t ON t.id = p.ticket_id "
        "LEFT JOIN submitters s ON s.id = t.submitter_id "
        "LEFT JOIN ticket_facts f ON f.ticket_id = t.id "
        f"ORDER BY {placed}",
        asked.parameters | {"limit": limit},
    )


async def find(
    connection: AsyncConnection,
    filter: Filter,
    *,
    sort: Sort = Sort.CREATED,
    order: Order = Order.DESC,
    after: Place | None = None,
    limit: int,
) -> list[Found]:
    """The tickets after a place in the list; `prepare` comes first."""
    query, parameters = statement(filter, sort, order, after, limit)
    rows = await connection.execute(text(query), parameters)
    return [
        Found(Seen(to_ticket(row), of_row(row)), (row.haste, row.moment, row.id)) for row in rows
    ]


def counting(filters: Sequence[Filter]) -> tuple[str, dict[str, Any]]:
    """The query for how many each filter finds, and its parameters."""
    counts: list[str] = []
    parameters: dict[str, Any] = {"most": MOST_COUNTED + 1}
    for index, filter in enumerate(filters):
        asked = Asked(filter, prefix=f"f{index}_")
        parts = " UNION ALL ".join(f"SELECT 1 FROM {part}" for part in asked.parts())
        counts.append(f"(SELECT count(*) FROM ({parts or 'SELECT 1 WHERE false'} LIMIT :most) c)")
        parameters |= asked.parameters
    return f"SELECT {', '.join(counts)}", parameters


async def count(connection: AsyncConnection, filters: Sequence[Filter]) -> list[int]:
    """How many tickets each filter finds, `MOST_COUNTED + 1` for any more; after `prepare`."""
    if not filters:
        return []
    query, parameters = counting(filters)
    return list((await connection.execute(text(query), parameters)).one())
