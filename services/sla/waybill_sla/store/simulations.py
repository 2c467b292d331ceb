"""What was heard of tickets, fact by fact, and the simulations that replay it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

from pydantic import TypeAdapter
from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection
from waybill_chassis.database import UnitOfWork

from waybill_sla.domain.policy import Agreement, Policies, Rules
from waybill_sla.domain.simulation import Learnt, Tally
from waybill_sla.domain.words import Priority, Status
from waybill_sla.store.agreed import policy_of, rungs_of
from waybill_sla.store.calendars import make

_KEEP = text(
    """
    INSERT INTO heard (ticket_id, at, fact)
    SELECT ticket_id, at, fact
    FROM json_to_recordset(CAST(:rows AS json)) AS r (
        ticket_id uuid, at timestamptz, fact jsonb, place bigint)
    ORDER BY place
    """
)
_HEARD = text(
    """
    SELECT ticket_id, at, fact FROM heard WHERE ticket_id = ANY (CAST(:ids AS uuid[]))
    ORDER BY ticket_id, number
    """
)

_AS_IT_STANDS = text(
    """
    SELECT jsonb_build_object(
        'policies', (
            SELECT coalesce(jsonb_agg(to_jsonb(p)), '[]') FROM (
                SELECT p.id, v.version, p.name, v.targets, true AS current,
                       p.product, p.type, p.priority, p.tier, p.tag, v.ladder, v.calendar
                FROM policies AS p JOIN policy_versions AS v ON v.policy_id = p.id
                    AND v.version = p.version
                WHERE NOT p.removed) AS p),
        'ladders', (SELECT jsonb_object_agg(name, rungs) FROM ladders WHERE NOT removed),
        'calendars', (
            SELECT jsonb_object_agg(c.name, jsonb_build_object(
                'id', c.id, 'version', c.version, 'document', v.document, 'days_off', v.days_off))
            FROM calendars AS c JOIN calendar_versions AS v ON v.calendar_id = c.id
                AND v.version = c.version
            WHERE NOT c.removed),
        'rules', CAST(:rules AS jsonb))
    """
)

_FITS = """
    c.number IS NOT NULL AND c.created_at < :until
    AND (CAST(:since AS timestamptz) IS NULL OR c.created_at >= CAST(:since AS timestamptz))
    AND (CAST(:product AS text) IS NULL OR c.product = CAST(:product AS text))
    AND (CAST(:type AS text) IS NULL OR c.type = CAST(:type AS text))
    AND (CAST(:priority AS text) IS NULL OR c.priority = CAST(:priority AS text))
    """
_BEGIN = text(
    f"""
    INSERT INTO simulations (
        id, filters, agreed, proposed, tally, total, started_at, started_by, ended_at)
    SELECT :id, CAST(:filters AS jsonb), CAST(:agreed AS jsonb), CAST(:proposed AS jsonb),
        CAST(:tally AS jsonb), n, :now, :by, CASE WHEN n = 0 THEN CAST(:now AS timestamptz) END
    FROM (SELECT least(count(*), :most) AS n FROM clocks AS c WHERE {_FITS}) AS c
    """
)
_FIELDS = "SELECT id, filters, tally, total, done, started_at, started_by, ended_at, failure"
_ONE = text(f"{_FIELDS} FROM simulations WHERE id = :id")
_LIST = text(
    f"""
    {_FIELDS} FROM simulations
    WHERE CAST(:before AS uuid) IS NULL OR id < CAST(:before AS uuid)
    ORDER BY id DESC LIMIT :most
    """
)
_WAITING = text("SELECT count(*) FROM simulations WHERE ended_at IS NULL")
# A batch is reckoned without a word to the database; whoever freezes with it loses it in a minute.
_PATIENTLY = text("SET LOCAL idle_in_transaction_session_timeout = '60s'")
_CLAIM = text(
    f"""
    {_FIELDS}, agreed, proposed, before_ticket FROM simulations
    WHERE ended_at IS NULL ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
    """
)
_PRUNE = text("DELETE FROM simulations WHERE ended_at < :before")
_SAVEPOINT = text("SAVEPOINT proposal")
_UNDO = text("ROLLBACK TO SAVEPOINT proposal")

# So many clocks are looked at in one go, however few of them fit.
_AT_ONCE = 5000
_NEXT = text(
    f"""
    WITH page AS MATERIALIZED (
        SELECT ticket_id, number, created_at, product, type, priority FROM clocks
        WHERE ticket_id < coalesce(CAST(:before AS uuid), 'ffffffff-ffff-ffff-ffff-ffffffffffff')
        ORDER BY ticket_id DESC LIMIT {_AT_ONCE}
    ), found AS (
        SELECT ticket_id FROM page AS c WHERE {_FITS} ORDER BY ticket_id DESC LIMIT :most
    )
    SELECT ARRAY(SELECT ticket_id FROM found ORDER BY ticket_id DESC) AS ids,
        (SELECT count(*) FROM page) AS looked_at,
        (SELECT ticket_id FROM page ORDER BY ticket_id LIMIT 1) AS last
    """
)
_ADVANCE = text(
    """
    UPDATE simulations SET done = :done, before_ticket = coalesce(:reached, before_ticket),
        tally = CAST(:tally AS jsonb), ended_at = :ended_at, failure = :failure
    WHERE id = :id
    """
)

_TALLY: TypeAdapter[Tally] = TypeAdapter(Tally)
_MOMENTS = {
    "created_at",
    "status_since",
    "episode_since",
    "first_response_at",
    "resolved_at",
    "reopened_at",
    "last_public_at",
    "unassigned_since",
}


@dataclass(frozen=True, slots=True)
class Filters:
    """Which tickets: the newest `limit` of those that were opened between `since` and `until`."""

    until: datetime
    limit: int
    since: datetime | None = None
    product: str | None = None
    type: str | None = None
    priority: Priority | None = None


_FILTERS: TypeAdapter[Filters] = TypeAdapter(Filters)


@dataclass(frozen=True, slots=True)
class Simulation:
    """A simulation, and what it has found so far."""

    id: UUID
    filters: Filters
    tally: Tally
    total: int
    done: int
    started_at: datetime
    started_by: str
    ended_at: datetime | None
    failure: str | None


@dataclass(frozen=True, slots=True)
class Task:
    """A simulation at hand: by what it judges, and how far it has come."""

    simulation: Simulation
    agreed: Mapping[str, Any]
    proposed: Mapping[str, Any]
    before_ticket: UUID | None


def keep_heard(uow: UnitOfWork, heard: Sequence[tuple[UUID, Learnt]]) -> None:
    """Keep what was learnt, in this order."""
    rows = [
        {"ticket_id": id, "at": one.at, "fact": one.what, "place": place}
        for place, (id, one) in enumerate(heard)
    ]
    if rows:
        uow.later(_KEEP, {"rows": to_json(rows).decode()})


async def heard_of(connection: AsyncConnection, ids: Iterable[UUID]) -> dict[UUID, list[Learnt]]:
    """What was learnt of these tickets, in the order in which it was."""
    found: dict[UUID, list[Learnt]] = {}
    for row in (await connection.execute(_HEARD, {"ids": list(ids)})).all():
        what = {name: _value(name, value) for name, value in row.fact.items()}
        found.setdefault(row.ticket_id, []).append(Learnt(row.at, what))
    return found


def _value(name: str, value: Any) -> Any:
    if value is None:
        return None
    if name in _MOMENTS:
        return datetime.fromisoformat(value)
    if name == "priority":
        return Priority(value)
    if name == "status":
        return Status(value)
    return tuple(value) if name == "tags" else value


async def savepoint(connection: AsyncConnection) -> None:
    """What is written from now on can be undone."""
    await connection.execute(_SAVEPOINT)


async def undo(connection: AsyncConnection) -> None:
    """As if nothing had been written since the savepoint; its locks are given back."""
    await connection.execute(_UNDO)


async def as_it_stands(connection: AsyncConnection, rules: Rules) -> Mapping[str, Any]:
    """All that is agreed for tickets to come, to be kept."""
    numbers = {"shares": rules.shares, "at_risk_share": rules.at_risk_share}
    asked = {"rules": to_json(numbers).decode()}
    found: Mapping[str, Any] = (await connection.execute(_AS_IT_STANDS, asked)).scalar_one()
    return found


def agreement_of(kept: Mapping[str, Any]) -> Agreement:
    """What was kept, to judge by."""
    ladders = {name: rungs_of(rungs) for name, rungs in kept["ladders"].items()}
    return Agreement(
        Policies(
            policy_of(SimpleNamespace(**row | {"id": UUID(row["id"])})) for row in kept["policies"]
        ),
        ladders["default"],
        Rules(tuple(kept["rules"]["shares"]), kept["rules"]["at_risk_share"]),
        {
            name: make(
                UUID(one["id"]),
                one["version"],
                name,
                one["document"],
                [date.fromisoformat(day) for day in one["days_off"]],
            )
            for name, one in kept["calendars"].items()
        },
        ladders,
    )


async def begin_simulation(
    connection: AsyncConnection,
    id: UUID,
    filters: Filters,
    agreed: Mapping[str, Any],
    proposed: Mapping[str, Any],
    *,
    now: datetime,
    by: str,
) -> None:
    """Have these tickets replayed after the commit."""
    await connection.execute(
        _BEGIN,
        _asked(filters)
        | {
            "id": id,
            "filters": to_json(filters).decode(),
            "agreed": to_json(agreed).decode(),
            "proposed": to_json(proposed).decode(),
            "tally": to_json(Tally()).decode(),
            "most": filters.limit,
            "now": now,
            "by": by,
        },
    )


def _asked(filters: Filters) -> dict[str, Any]:
    return {
        "since": filters.since,
        "until": filters.until,
        "product": filters.product,
        "type": filters.type,
        "priority": filters.priority,
    }


async def prune(connection: AsyncConnection, before: datetime) -> None:
    """Forget simulations that ended before."""
    await connection.execute(_PRUNE, {"before": before})


async def waiting(connection: AsyncConnection) -> int:
    """How many have not ended."""
    number: int = (await connection.execute(_WAITING)).scalar_one()
    return number


async def simulation(connection: AsyncConnection, id: UUID) -> Simulation | None:
    """One of them."""
    row = (await connection.execute(_ONE, {"id": id})).first()
    return None if row is None else _simulation(row)


async def simulations(
    connection: AsyncConnection, *, before: UUID | None, most: int
) -> list[Simulation]:
    """All of them, newest first."""
    rows = await connection.execute(_LIST, {"before": before, "most": most})
    return [_simulation(row) for row in rows.all()]


def _simulation(row: Any) -> Simulation:
    return Simulation(
        row.id,
        _FILTERS.validate_python(row.filters),
        _TALLY.validate_python(row.tally),
        row.total,
        row.done,
        row.started_at,
        row.started_by,
        row.ended_at,
        row.failure,
    )


async def claim_simulation(connection: AsyncConnection) -> Task | None:
    """The oldest one that has not ended and that nobody else has at hand, until the commit."""
    await connection.execute(_PATIENTLY)
    row = (await connection.execute(_CLAIM)).first()
    if row is None:
        return None
    return Task(_simulation(row), row.agreed, row.proposed, row.before_ticket)


async def next_tickets(
    connection: AsyncConnection, task: Task, most: int
) -> tuple[list[UUID], UUID | None, bool]:
    """The next tickets of a task, how far that is, and whether there are none behind them."""
    filters = task.simulation.filters
    asked = _asked(filters) | {"before": task.before_ticket, "most": most}
    row = (await connection.execute(_NEXT, asked)).one()
    if len(row.ids) == most:
        return row.ids, row.ids[-1], False
    return row.ids, row.last, row.looked_at < _AT_ONCE


async def advance_simulation(
    connection: AsyncConnection,
    task: Task,
    *,
    done: int,
    reached: UUID | None,
    ended_at: datetime | None,
    failure: str | None = None,
) -> None:
    """So many tickets are done, and this is what was found."""
    await connection.execute(
        _ADVANCE,
        {
            "id": task.simulation.id,
            "done": done,
            "reached": reached,
            "tally": to_json(task.simulation.tally).decode(),
            "ended_at": ended_at,
            "failure": failure,
        },
    )


KEPT = timedelta(days=30)
"""For how long what a simulation has found can be read."""
