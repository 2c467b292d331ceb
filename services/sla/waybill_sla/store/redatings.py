"""Open clocks that are to be dated anew: how far each such task has come is a row."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class Scope:
    """The clocks of a calendar, those that have a policy or get it, or those of a ladder."""

    calendar_id: UUID | None = None
    policy_id: UUID | None = None
    ladder: str | None = None


@dataclass(frozen=True, slots=True)
class Redating:
    """A task: so many clocks, so many of them done, and how far it has come."""

    id: UUID
    calendar_id: UUID | None
    calendar: str | None
    policy_id: UUID | None
    policy: str | None
    ladder: str | None
    total: int
    done: int
    after_ticket: UUID | None
    started_at: datetime
    started_by: str
    ended_at: datetime | None

    @property
    def scope(self) -> Scope:
        """Which clocks it is about."""
        return Scope(self.calendar_id, self.policy_id, self.ladder)


# Who has a policy may get another one, and whom it fits may get it; all would fit the default one.
_CONCERNED = """
    c.state IN ('running', 'paused') AND (
        c.calendar_id = CAST(:calendar_id AS uuid)
        OR c.policy_id = CAST(:policy_id AS uuid)
        OR NOT p.removed
            AND num_nonnulls(p.product, p.type, p.priority, p.tier, p.tag) > 0
            AND (p.product IS NULL OR p.product = c.product)
            AND (p.type IS NULL OR p.type = c.type)
            AND (p.priority IS NULL OR p.priority = c.priority)
            AND (p.tier IS NULL OR lower(p.tier) = lower(c.tier))
            AND (p.tag IS NULL OR p.tag = ANY (c.tags))
        OR (c.policy_id, c.policy_version) IN (
            SELECT v.policy_id, v.version FROM policy_versions AS v
            WHERE v.ladder = CAST(:ladder AS text)))
    """

_AND_POLICY = "LEFT JOIN policies AS p ON p.id = CAST(:policy_id AS uuid)"

# Whatever runs for the same clocks is overtaken: the new task does all of them.
_OVERTAKE = text(
    """
    UPDATE redatings SET ended_at = :now
    WHERE ended_at IS NULL
      AND (calendar_id = CAST(:calendar_id AS uuid) OR policy_id = CAST(:policy_id AS uuid)
           OR ladder = CAST(:ladder AS text))
    """
)
_BEGIN = text(
    f"""
    INSERT INTO redatings (
        id, calendar_id, policy_id, ladder, total, started_at, started_by, ended_at)
    SELECT :id, :calendar_id, :policy_id, :ladder, count(*), :now, :by,
        CASE WHEN count(*) = 0 THEN CAST(:now AS timestamptz) END
    FROM clocks AS c {_AND_POLICY} WHERE {_CONCERNED}
    RETURNING total
    """
)

_TASK = """
    SELECT r.id, r.calendar_id, c.name AS calendar, r.policy_id, p.name AS policy, r.ladder,
           r.total, r.done, r.after_ticket, r.started_at, r.started_by, r.ended_at
    FROM redatings AS r LEFT JOIN calendars AS c ON c.id = r.calendar_id
        LEFT JOIN policies AS p ON p.id = r.policy_id
    """
_PENDING = text("SELECT EXISTS (SELECT FROM redatings WHERE ended_at IS NULL)")
# By reading calendars it waits for whoever changes them before it takes the row, not after.
_CLAIM = text(f"{_TASK} WHERE r.ended_at IS NULL ORDER BY r.id LIMIT 1 FOR UPDATE OF r SKIP LOCKED")
_LIST = text(
    f"""
    {_TASK} WHERE (CAST(:before AS uuid) IS NULL OR r.id < CAST(:before AS uuid))
    ORDER BY r.id DESC LIMIT :most
    """
)

# So many clocks are looked at in one go, however few of them are concerned.
_AT_ONCE = 5000
_NEXT = text(
    f"""
    WITH page AS MATERIALIZED (
        SELECT ticket_id, state, calendar_id, policy_id, policy_version,
            product, type, priority, tier, tags
        FROM clocks
        WHERE ticket_id > coalesce(CAST(:after AS uuid), '00000000-0000-0000-0000-000000000000')
        ORDER BY ticket_id LIMIT {_AT_ONCE}
    ), found AS (
        SELECT ticket_id FROM page AS c {_AND_POLICY} WHERE {_CONCERNED}
        ORDER BY ticket_id LIMIT :most
    )
    SELECT ARRAY(SELECT ticket_id FROM found ORDER BY ticket_id) AS ids,
        (SELECT count(*) FROM page) AS looked_at,
        (SELECT ticket_id FROM page ORDER BY ticket_id DESC LIMIT 1) AS last
    """
)

_ADVANCE = text(
    """
    UPDATE redatings SET done = done + :done, after_ticket = coalesce(:after, after_ticket),
        ended_at = :ended_at
    WHERE id = :id
    """
)


def _named(scope: Scope) -> dict[str, Any]:
    return {
        "calendar_id": scope.calendar_id,
        "policy_id": scope.policy_id,
        "ladder": scope.ladder,
    }


async def begin_redating(
    connection: AsyncConnection, id: UUID, scope: Scope, *, now: datetime, by: str
) -> int:
    """Have these clocks dated anew, after the commit; how many there are."""
    about = _named(scope) | {"now": now}
    await connection.execute(_OVERTAKE, about)
    total: int = (await connection.execute(_BEGIN, about | {"id": id, "by": by})).scalar_one()
    return total


async def redating_pending(connection: AsyncConnection) -> bool:
    """Whether there is anything to do."""
    pending: bool = (await connection.execute(_PENDING)).scalar_one()
    return pending


async def claim_redating(connection: AsyncConnection) -> Redating | None:
    """The oldest task that nobody else has at hand, until the commit."""
    row = (await connection.execute(_CLAIM)).first()
    return None if row is None else Redating(**row._mapping)


@dataclass(frozen=True, slots=True)
class Next:
    """The next clocks of a task, how far that is, and whether there are none behind them."""

    ids: list[UUID]
    reached: UUID | None
    all: bool


async def next_concerned(connection: AsyncConnection, task: Redating, most: int) -> Next:
    """The next clocks of a task, at most so many."""
    about = _named(task.scope) | {"after": task.after_ticket, "most": most}
    row = (await connection.execute(_NEXT, about)).one()
    if len(row.ids) == most:
        return Next(row.ids, row.ids[-1], all=False)
    return Next(row.ids, row.last, all=row.looked_at < _AT_ONCE)


async def advance_redating(
    connection: AsyncConnection, task: Redating, done: Next, now: datetime
) -> None:
    """These clocks are done."""
    await connection.execute(
        _ADVANCE,
        {
            "id": task.id,
            "done": len(done.ids),
            "after": done.reached,
            "ended_at": now if done.all else None,
        },
    )


async def redatings(
    connection: AsyncConnection, *, before: UUID | None, most: int
) -> list[Redating]:
    """The tasks, newest first."""
    rows = await connection.execute(_LIST, {"before": before, "most": most})
    return [Redating(**row._mapping) for row in rows.all()]
