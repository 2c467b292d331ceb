"""Roll-ups written: what tickets count for, what changed, and the folding of one into the other."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import text
from waybill_chassis.database import UnitOfWork

from waybill_intake.domain.statistics import FLOW, KINDS, WIDTH, Counted, Lines
from waybill_intake.domain.statistics_history import History
from waybill_intake.domain.statistics_periods import FLOW_LEVELS, MONTH, OTHER_LEVELS
from waybill_intake.store.rows import as_json

FOLDING = 0x7374_6174  # "stat": one process folds or rebuilds at a time

LEVELS = ", ".join(
    f"('{kind}', {level})"
    for kind in KINDS
    for level in (FLOW_LEVELS if kind == FLOW else OTHER_LEVELS)
)

_READ = text("SELECT * FROM ticket_statistics WHERE ticket_id = ANY(CAST(:ids AS uuid[]))")
_KEEP = text(
    """
    INSERT INTO ticket_statistics AS s
    SELECT * FROM json_populate_recordset(NULL::ticket_statistics, CAST(:rows AS json))
    ON CONFLICT (ticket_id) DO UPDATE SET
        product = excluded.product, type = excluded.type, team = excluded.team,
        opened = excluded.opened,
        history = excluded.history, counted = excluded.counted
    """
)
_CHANGE = text(
    """
    INSERT INTO statistics_deltas (kind, at, product, type, team, key, v)
    SELECT kind, at, product, type, team, key, v
    FROM json_populate_recordset(NULL::statistics_deltas, CAST(:lines AS json))
    """
)
_NAMES = text(
    """
    INSERT INTO statistics_agents AS a
    SELECT n.agent, n.name FROM unnest(CAST(:agents AS text[]), CAST(:names AS text[]))
        AS n (agent, name)
    WHERE NOT EXISTS (
        SELECT FROM statistics_agents o WHERE o.agent = n.agent AND o.name = n.name)
    ORDER BY n.agent
    ON CONFLICT (agent) DO UPDATE SET name = excluded.name
    """
)


def sums(column: str, width: int = WIDTH) -> str:
    """SQL: the sums of the places of an array, as an array without the places nobody has."""
    places = ", ".join(f"sum({column}[{place}])::bigint" for place in range(1, width + 1))
    return f"(ARRAY[{places}])[1:max(cardinality({column}))]"


def bucket(at: str, level: str) -> str:
    """SQL: where the bucket of a level begins."""
    return (
        f"CASE {level} WHEN {MONTH} THEN extract(epoch FROM date_trunc('month', "
        f"to_timestamp({at}), 'UTC'))::bigint ELSE {at} - {at} % {level} END"
    )


ADDED = (
    "ON CONFLICT (kind, whole, level, type, at, product, team, key) DO UPDATE SET v = ARRAY("
    "SELECT coalesce(o, 0) + coalesce(n, 0) FROM unnest(s.v, excluded.v) "
    "WITH ORDINALITY AS b (o, n, place) ORDER BY place)"
)
_FOLD = text(
    f"""
    WITH taken AS (
        DELETE FROM statistics_deltas WHERE position IN (
            SELECT position FROM statistics_deltas ORDER BY position LIMIT :most)
        RETURNING *
    ), summed AS (
        SELECT kind, at, product, type, team, key, {sums("v")} AS v FROM taken
        GROUP BY kind, at, product, type, team, key
    ), leveled AS (
        SELECT d.kind, w.whole, l.level, {bucket("d.at", "l.level")} AS at, d.product,
               CASE WHEN w.whole THEN '' ELSE d.type END AS type,
               CASE WHEN w.whole THEN '' ELSE d.team END AS team, d.key, d.v
        FROM summed d JOIN (VALUES {LEVELS}) AS l (kind, level) USING (kind)
        CROSS JOIN (VALUES (true), (false)) AS w (whole)
    ), added AS (
        INSERT INTO statistics AS s
        SELECT kind, whole, level, at, product, type, team, key, {sums("v")} FROM leveled
        GROUP BY kind, whole, level, at, product, type, team, key
        ORDER BY kind, whole, level, type, at, product, team, key
        {ADDED}
    )
    SELECT count(*) FROM taken
    """
)
_TRY_LOCK = text("SELECT pg_try_advisory_xact_lock(:key)")


async def read(uow: UnitOfWork, ids: Iterable[UUID]) -> dict[UUID, tuple[History, Counted]]:
    """What is remembered of these tickets and what they count for; they are locked already."""
    rows = await uow.execute(_READ, {"ids": list(ids)})
    return {
        row.ticket_id: (
            History.from_json(row.history),
            Counted(row.product, row.type, row.team, row.opened, row.counted),
        )
        for row in rows
    }


async def write(
    uow: UnitOfWork, kept: Mapping[UUID, tuple[History, Counted]], lines: Lines
) -> None:
    """Keep what tickets count for by now, and what that changes."""
    rows = [_row(id, history, counted) for id, (history, counted) in kept.items()]
    uow.later(_KEEP, {"rows": as_json(rows)})
    found = [
        dict(zip(("kind", "at", "product", "type", "team", "key"), key, strict=True), v=values)
        for key, values in lines.items()
    ]
    if found:
        uow.later(_CHANGE, {"lines": as_json(found)})


def _row(id: UUID, history: History, counted: Counted) -> dict[str, Any]:
    return {
        "ticket_id": id,
        "product": counted.product,
        "type": counted.type,
        "team": counted.team,
        "opened": counted.opened,
        "history": history,
        "counted": counted.sums,
    }


async def name(uow: UnitOfWork, names: Mapping[str, str]) -> None:
    """Know the names of agents."""
    agents: Sequence[str] = sorted(names)
    uow.later(_NAMES, {"agents": agents, "names": [names[agent] for agent in agents]})


async def lock(uow: UnitOfWork) -> bool:
    """Be the only one who folds until the commit; False if somebody is."""
    return bool((await uow.execute(_TRY_LOCK, {"key": FOLDING})).scalar())


async def fold(uow: UnitOfWork, most: int) -> int:
    """Put at most so many changes into the roll-ups; how many there were."""
    return int((await uow.execute(_FOLD, {"most": most})).scalar_one())
