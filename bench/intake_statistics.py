"""How much faster statistics come from roll-ups than from aggregating the tickets themselves.

    python bench/intake_statistics.py [--tickets 1000000] [--rounds 5]

Tickets of two years are put in by SQL, then counted by the rebuild that a platform would run. Each
report is asked for as the service asks for it, rounds interleaved with a plain aggregation of the
tables that must give the same numbers: those that differ end the run. The server comes from
WAYBILL_TEST_POSTGRES_URL, else it is started for the run.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import asyncpg
import uvloop
from sqlalchemy.engine import make_url
from waybill_chassis.clock import SystemClock
from waybill_chassis.database import Database
from waybill_chassis.migrate import migrate
from waybill_chassis.periods import Interval, period
from waybill_chassis.testing import servers
from waybill_chassis.testing.services import migrations_of
from waybill_intake import counting, reports
from waybill_intake.reports import Question
from waybill_intake.store import statistics_reading as reading

END = datetime(2026, 11, 1, tzinfo=UTC)
DAYS = 730
TARGET = 50
AT_ONCE = 50_000

_FILL = """
INSERT INTO tickets (
    id, number, product, type, priority, status, title, description, language, tags,
    custom_fields, channel, submitter_tier, order_refs, occurrences, created_at, updated_at,
    status_since, episode, episode_since, first_response_at, resolved_at, closed_at, close_reason,
    reopenings, rating_score, rating_comment, rated_at, links, set_by_person, opened_by_product,
    reminders, version)
SELECT
    (lpad(to_hex((extract(epoch FROM created) * 1000)::bigint), 12, '0') || '7'
        || lpad(to_hex(i), 19, '0'))::uuid,
    'WB-' || i, (ARRAY['shop', 'shop', 'app', 'pay'])[1 + i % 4],
    (ARRAY['technical', 'technical', 'account', 'order', 'product_inquiry', 'complaint',
           'suggestion'])[1 + floor(a * 7)::int],
    (ARRAY['medium', 'medium', 'medium', 'low', 'high', 'urgent'])[1 + floor(b * 6)::int],
    CASE WHEN closed IS NOT NULL THEN 'closed' WHEN resolved IS NOT NULL THEN 'resolved'
         WHEN responded IS NOT NULL THEN 'in_progress' ELSE 'pending' END,
    'Where is my order ' || i, repeat('It was to be here on Monday and it is not. ', 12), 'en',
    CASE WHEN c < 0.4 THEN '{}' ELSE ARRAY['tag-' || floor(60 * d * d)] END,
    '{}', 'api', '', '{}', 1, created, coalesce(closed, resolved, responded, created),
    created, 3, created, responded, resolved, closed,
    CASE WHEN closed IS NOT NULL THEN 'user_confirmed' END, (a * b > 0.8)::int,
    CASE WHEN closed IS NOT NULL AND e < 0.3 THEN 1 + floor(5 * (1 - d * e))::int END,
    CASE WHEN closed IS NOT NULL AND e < 0.3 THEN '' END,
    CASE WHEN closed IS NOT NULL AND e < 0.3 THEN closed END,
    '[]', '{}', false, '{}', 4
FROM (
    SELECT *, CASE WHEN solved AND done < $3::timestamptz THEN done END AS resolved,
           CASE WHEN solved AND gone < $3::timestamptz THEN gone END AS closed
    FROM (
        SELECT *, CASE WHEN answered < $3::timestamptz THEN answered END AS responded,
               answered < $3::timestamptz AND b < 0.95 AS solved,
               answered + exp(5 + 8 * c) * interval '1 second' AS done,
               answered + exp(5 + 8 * c) * interval '1 second' + interval '3 days' * d AS gone
        FROM (
            SELECT *, created + exp(4 + 7 * a) * interval '1 second' AS answered
            FROM (
                SELECT i, $3::timestamptz
                       - interval '1 day' * ($4::float * (1 - i / $5::float))
                       + interval '1 second' * random() AS created,
                       random() AS a, random() AS b, random() AS c, random() AS d, random() AS e
                FROM generate_series($1::bigint, $2::bigint) AS i
            ) AS dice
        ) AS one
    ) AS two
) AS three
"""
_FACTS = """
INSERT INTO ticket_facts (
    ticket_id, routing_sequence, agent_id, agent_name, agent_email, team, sla_sequence,
    response_state, response_due_at, resolution_state, resolution_due_at)
SELECT id, 1, 'a' || who, 'Agent ' || who, 'agent' || who || '@example.com',
       (ARRAY['support', 'senior_support', 'tech_team'])[1 + who % 3], 1,
       CASE WHEN first_response_at < created_at + interval '4 hours' THEN 'met' ELSE 'breached' END,
       created_at + interval '4 hours',
       CASE WHEN resolved_at < created_at + interval '1 day' THEN 'met' ELSE 'breached' END,
       created_at + interval '1 day'
FROM (SELECT *, (hashtext(id::text) & 1023) % 60 AS who FROM tickets) AS t
"""
# What would have been remembered of them.
_HISTORIES = """
INSERT INTO ticket_statistics (ticket_id, product, type, team, opened, history, counted)
SELECT t.id, '', '', '', 0, jsonb_build_object(
    'moves', (SELECT coalesce(jsonb_agg(jsonb_build_array(floor(extract(epoch FROM m.at)), m.state)
              ORDER BY m.at), '[]') FROM (VALUES (t.resolved_at, 'resolved'),
              (t.closed_at, 'closed')) AS m (at, state) WHERE m.at IS NOT NULL),
    'responder', CASE WHEN t.first_response_at IS NULL THEN '' ELSE f.agent_email END,
    'repliers', '[]'::jsonb, 'replies', (t.first_response_at IS NOT NULL)::int, 'helped', 0,
    'resolver', CASE WHEN t.resolved_at IS NULL THEN '' ELSE f.agent_email END,
    'holders', jsonb_build_array(jsonb_build_object(
        'sequence', 1, 'agent', f.agent_email, 'team', f.team, 'closed', false)),
    'sla_sequence', 1,
    'targets', jsonb_build_array(
        jsonb_build_object('kind', 'response', 'state', f.response_state,
                           'due', floor(extract(epoch FROM f.response_due_at))),
        jsonb_build_object('kind', 'resolution', 'state', f.resolution_state,
                           'due', floor(extract(epoch FROM f.resolution_due_at)))),
    'escalations', '[]'::jsonb, 'cluster', '', 'answer', ''), '{}'
FROM tickets t JOIN ticket_facts f ON f.ticket_id = t.id
"""

# The straightforward way: the same numbers from the tickets and what is kept beside them.
_MINE = "t.created_at >= $1 AND t.created_at < $2 AND ($3::text IS NULL OR t.type = $3)"
_VOLUME = """
SELECT date_trunc($4, at AT TIME ZONE $5) AS part, sum(opened), sum(resolved), sum(closed),
       sum(opened) - sum(gone) AS growth
FROM (
    SELECT created_at AS at, 1 AS opened, 0 AS resolved, 0 AS closed, 0 AS gone, type FROM tickets
    UNION ALL SELECT resolved_at, 0, 1, 0, 1, type FROM tickets WHERE resolved_at IS NOT NULL
    UNION ALL SELECT closed_at, 0, 0, 1, 0, type FROM tickets WHERE closed_at IS NOT NULL
) AS t
WHERE at >= $1 AND at < $2 AND ($3::text IS NULL OR t.type = $3) GROUP BY 1 ORDER BY 1
"""
_BACKLOG = """
SELECT count(*) FROM tickets t WHERE created_at < $1 AND (resolved_at IS NULL OR resolved_at >= $1)
AND ($2::text IS NULL OR t.type = $2)
"""
_STATES = (
    "SELECT status, count(*) FROM tickets t WHERE ($1::text IS NULL OR t.type = $1) GROUP BY 1"
)
_SPEEDS = f"""
SELECT count(*), count(resolved_at), count(*) FILTER (WHERE reopenings > 0),
    sum(floor(extract(epoch FROM first_response_at - created_at))) AS response,
    sum(floor(extract(epoch FROM resolved_at - created_at))) AS resolution,
    percentile_disc(ARRAY[0.5, 0.9]) WITHIN GROUP (
        ORDER BY floor(extract(epoch FROM first_response_at - created_at))) AS responses,
    percentile_disc(ARRAY[0.5, 0.9]) WITHIN GROUP (
        ORDER BY floor(extract(epoch FROM resolved_at - created_at))) AS resolutions
FROM tickets t WHERE {_MINE}
"""
_TIMEOUTS = """
SELECT sum(due), sum(breached) FROM (
    SELECT 1 AS due, (response_state = 'breached')::int AS breached, t.type FROM ticket_facts f
        JOIN tickets t ON t.id = f.ticket_id WHERE response_due_at >= $1 AND response_due_at < $2
    UNION ALL
    SELECT 1, (resolution_state = 'breached')::int, t.type FROM ticket_facts f
        JOIN tickets t ON t.id = f.ticket_id
        WHERE resolution_due_at >= $1 AND resolution_due_at < $2
) AS t WHERE ($3::text IS NULL OR t.type = $3)
"""
_AGENTS = f"""
SELECT f.agent_email, count(*), count(t.resolved_at), count(t.rating_score),
       coalesce(sum(t.rating_score), 0), count(t.first_response_at),
       coalesce(sum(floor(extract(epoch FROM t.first_response_at - t.created_at))), 0)
FROM tickets t JOIN ticket_facts f ON f.ticket_id = t.id WHERE {_MINE} GROUP BY 1
"""
_TYPES = f"""
SELECT type, count(*), count(resolved_at),
       sum(floor(extract(epoch FROM resolved_at - created_at))),
       count(*) FILTER (WHERE reopenings > 0)
FROM tickets t WHERE {_MINE} GROUP BY 1
"""
_TAGS = f"""
SELECT tag, count(*), count(resolved_at),
       sum(floor(extract(epoch FROM resolved_at - created_at)))
FROM tickets t CROSS JOIN unnest(tags) AS tag WHERE {_MINE}
GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 50
"""
_HOURS = """
SELECT extract(hour FROM at AT TIME ZONE $4)::int, sum(opened), sum(responded) FROM (
    SELECT created_at AS at, 1 AS opened, 0 AS responded, type FROM tickets
    UNION ALL SELECT first_response_at, 0, 1, type FROM tickets
) AS t WHERE at >= $1 AND at < $2 AND ($3::text IS NULL OR t.type = $3) GROUP BY 1
"""
_RATINGS = f"""
SELECT corr(width_bucket(extract(epoch FROM first_response_at - created_at)::float,
            ARRAY[900, 7200, 86400]::float[]), rating_score),
       corr(width_bucket(extract(epoch FROM resolved_at - created_at)::float,
            ARRAY[14400, 86400, 259200]::float[]), rating_score),
       count(rating_score), count(*) FILTER (WHERE priority = 'urgent')
FROM tickets t WHERE {_MINE}
"""


@dataclass(frozen=True, slots=True)
class Case:
    """A question, and the span of it as the plain way needs it."""

    name: str
    days: int
    interval: Interval
    zone: str
    type: str | None = None

    def question(self) -> Question:
        """As the service asks it."""
        start = END - timedelta(days=self.days)
        scope = reading.Scope(None, self.type, None)
        return Question(scope, None, period(start, END, ZoneInfo(self.zone)), END)


CASES = (
    Case("two years by week, Berlin", DAYS, Interval.WEEK, "Europe/Berlin"),
    Case("a year by day, Berlin", 365, Interval.DAY, "Europe/Berlin"),
    Case("a year by day, Kolkata", 365, Interval.DAY, "Asia/Kolkata"),
    Case("a year by day, orders only", 365, Interval.DAY, "Europe/Berlin", "order"),
    Case("30 days by day, Berlin", 30, Interval.DAY, "Europe/Berlin"),
)


class Plain:
    """Aggregates the tables, and says whether a report tells the same."""

    def __init__(self, connection: Any, case: Case) -> None:
        self._connection = connection
        self._case = case
        asked = case.question().period
        self._span = (
            datetime.fromtimestamp(asked.start, UTC),
            datetime.fromtimestamp(asked.end, UTC),
            case.type,
        )

    async def volume(self) -> Callable[[Any], bool]:
        """What `/v1/stats/volume` tells."""
        case = self._case
        parts = await self._connection.fetch(_VOLUME, *self._span, case.interval.value, case.zone)
        before = await self._connection.fetchval(_BACKLOG, self._span[0], case.type)
        states = dict(await self._connection.fetch(_STATES, case.type))
        backlogs = list(accumulate((row[4] for row in parts), initial=before))[1:]
        expected = [(*row.values(),)[1:4] for row in parts]

        def same(found: Any) -> bool:
            # The plain way does not know of intervals in which nothing happened.
            busy = [p for p in found.intervals if p.opened or p.resolved or p.closed]
            return (
                [(part.opened, part.resolved, part.closed) for part in busy] == expected
                and [part.backlog for part in busy] == backlogs
                and all(getattr(found.now, name) == n for name, n in states.items())
            )

        return same

    async def efficiency(self) -> Callable[[Any], bool]:
        """What `/v1/stats/efficiency` tells."""
        row = await self._connection.fetchrow(_SPEEDS, *self._span)
        due = await self._connection.fetchrow(_TIMEOUTS, *self._span)

        def same(found: Any) -> bool:
            near = all(
                abs(told - exact) <= max(1, 0.05 * float(exact))
                for speed, exacts in (
                    (found.first_response, row["responses"]),
                    (found.resolution, row["resolutions"]),
                )
                for told, exact in zip(
                    (speed.median_seconds, speed.p90_seconds), exacts, strict=True
                )
            )
            first, second = found.response_timeouts, found.resolution_timeouts
            return (
                near
                and (found.opened, found.resolved) == (row[0], row[1])
                and found.first_response.average_seconds
                == int(row["response"]) // found.first_response.count
                and found.resolution.average_seconds == int(row["resolution"]) // row[1]
                and (first.due + second.due, first.breached + second.breached) == tuple(due)
            )

        return same

    async def agents(self) -> Callable[[Any], bool]:
        """What `/v1/stats/agents` tells."""
        rows = {row[0]: row for row in await self._connection.fetch(_AGENTS, *self._span)}

        def same(found: Any) -> bool:
            return len(found) == len(rows) and all(
                (one.handled, one.resolved, one.ratings, one.first_responses)
                == (row[1], row[2], row[3], row[5])
                and one.average_response_seconds == int(row[6]) // row[5]
                for one in found
                if (row := rows[one.agent])
            )

        return same

    async def issues(self) -> Callable[[Any], bool]:
        """What `/v1/stats/issues` tells."""
        types = {row[0]: row for row in await self._connection.fetch(_TYPES, *self._span)}
        tags = [tuple(row) for row in await self._connection.fetch(_TAGS, *self._span)]

        def same(found: Any) -> bool:
            return [
                (one.name, one.tickets, one.resolved, one.average_resolution_seconds)
                for one in found.tags
            ] == [(tag, n, done, int(took) // done) for tag, n, done, took in tags] and all(
                (one.tickets, one.resolved, one.reopened) == (row[1], row[2], row[4])
                for one in found.types
                if (row := types[one.name])
            )

        return same

    async def diagnosis(self) -> Callable[[Any], bool]:
        """What `/v1/stats/diagnosis` tells."""
        start, end, type = self._span
        since = max(start, end - timedelta(days=28))
        hours = await self._connection.fetch(_HOURS, since, end, type, self._case.zone)
        row = await self._connection.fetchrow(_RATINGS, *self._span)
        before = await self._connection.fetchval(_BACKLOG, start, type)
        after = await self._connection.fetchval(_BACKLOG, end, type)
        flow = await self._connection.fetch(_VOLUME, *self._span, "year", "UTC")

        def same(found: Any) -> bool:
            causes = {one.cause: one for one in found.causes}
            told = [(h.hour, h.arrivals, h.replies) for h in causes["staffing_by_hour"].hours]
            capacity = causes["arrivals_exceed_capacity"].evidence
            return (
                told == sorted(tuple(hour) for hour in hours)
                and causes["response_time"].evidence["correlation"] == rounded(row[0])
                and causes["resolution_time"].evidence["correlation"] == rounded(row[1])
                and causes["response_time"].evidence["ratings"] == row[2]
                and causes["share_of_urgent"].evidence["urgent"] == row[3]
                and capacity["arrived"] == sum(part[1] for part in flow)
                and (capacity["backlog_before"], capacity["backlog_after"]) == (before, after)
            )

        return same


async def fill(connection: Any, tickets: int) -> None:
    """Tickets, what others said of them, and what would be remembered. Indexes come afterwards."""
    indexes = await connection.fetch(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = 'tickets' "
        "AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conname = indexname)"
    )
    for name, _ in indexes:
        await connection.execute(f"DROP INDEX {name}")
    await connection.execute("SELECT setseed(0.5)")
    for start in range(1, tickets + 1, AT_ONCE):
        last = min(start + AT_ONCE - 1, tickets)
        await connection.execute(_FILL, start, last, END, DAYS, tickets)
        say(f"{last} tickets put in")
    for statement in (_FACTS, _HISTORIES, *(definition for _, definition in indexes)):
        await connection.execute(statement)
    await connection.execute("VACUUM ANALYZE tickets, ticket_facts, ticket_statistics")


async def compare(database: Database, connection: Any, case: Case, rounds: int) -> bool:
    """One case: every report both ways, in turns; whether all are as fast as they are to be."""
    plain, question, reached = Plain(connection, case), case.question(), True
    told: dict[str, Callable[[Any], Awaitable[Any]]] = {
        "volume": lambda c: reports.tell_volume(c, question, case.interval),
        "efficiency": lambda c: reports.tell_efficiency(c, question, case.interval),
        "agents": lambda c: reports.tell_agents(c, question),
        "issues": lambda c: reports.tell_issues(c, question),
        "diagnosis": lambda c: reports.tell_diagnosis(c, question),
    }
    for name, tell in told.items():
        ours, theirs = [], []
        for _ in range(rounds):
            began = time.perf_counter()
            same = await getattr(plain, name)()
            theirs.append(time.perf_counter() - began)
            for _ in range(3):
                began = time.perf_counter()
                async with reading.snapshot(database) as reader:
                    found = await tell(reader)
                ours.append(time.perf_counter() - began)
            if not same(found):
                raise SystemExit(f"{case.name}: {name} differs from the plain aggregation: {found}")
        fast, slow = statistics.median(ours) * 1e3, statistics.median(theirs) * 1e3
        # Of a month an index spares the plain way most of the table.
        reached &= case.days < 365 or slow / fast >= TARGET
        print(f"{case.name:<32}{name:<12}{fast:>10.1f}{slow:>12.0f}{slow / fast:>10.0f}")
    return reached


def rounded(value: float | None) -> float | None:
    """As the service tells it."""
    return None if value is None else round(value, 4)


def say(what: str) -> None:
    """Progress."""
    print(f"{time.perf_counter():10.1f} s  {what}", file=sys.stderr, flush=True)


async def main(postgres: str, tickets: int, rounds: int) -> bool:
    """Fill, count, compare; whether every ratio is as it is to be."""
    admin = await asyncpg.connect(postgres)
    name = f"bench_{uuid4().hex}"
    await admin.execute(f"CREATE DATABASE {name}")
    url = make_url(postgres).set(database=name).render_as_string(hide_password=False)
    database = Database(url, service="intake", clock=SystemClock())
    try:
        await migrate(url, migrations_of("intake"))
        connection = await asyncpg.connect(url)
        await connection.execute("SET jit = off")
        await fill(connection, tickets)
        began = time.perf_counter()
        await counting.rebuild(database, say)
        rebuilt = time.perf_counter() - began
        await connection.execute("VACUUM ANALYZE statistics, ticket_statistics, statistics_deltas")
        size = "SELECT pg_size_pretty(pg_total_relation_size($1::regclass))"
        sizes = {t: await connection.fetchval(size, t) for t in ("tickets", "statistics")}
        rows = await connection.fetchval("SELECT count(*) FROM statistics")
        print(f"{tickets:,} tickets ({sizes['tickets']}) rebuilt in {rebuilt:.0f} s:")
        print(f"{rows:,} roll-ups ({sizes['statistics']})")
        print(f"{'':<32}{'':<12}{'ours, ms':>10}{'plain, ms':>12}{'ratio':>10}")
        reached = [await compare(database, connection, case, rounds) for case in CASES]
        print(
            f"target for a year and more: at least {TARGET}; medians of {rounds} interleaved rounds"
        )
        await connection.close()
        return all(reached)
    finally:
        await database.close()
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--tickets", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    with servers.database_server() as postgres:
        met = uvloop.run(main(postgres, chosen.tickets, chosen.rounds))
    raise SystemExit(0 if met else 1)
