"""A store with years of tickets in it: most of them closed, few open, all by plain SQL."""

import csv
import json
import random
from collections.abc import Sequence
from pathlib import Path

import asyncpg
from waybill_intake.store.finding.kept import CONFIGURATION, LIST

PRODUCTS = ("shop", "bank", "app", "maps", "mail", "cloud", "games", "tiny")
DAYS = 730
"""The archive goes back so far; what is younger than two weeks is mostly open."""

_SENTENCES = 20_000

_TEXTS = f"""
CREATE UNLOGGED TABLE bench_text AS
SELECT (position - 1)::int AS id, body, to_tsvector('{CONFIGURATION}', body) AS document
FROM unnest($1::text[]) WITH ORDINALITY AS t (body, position)
"""

# Everything skewed as in life: a product has a third of the tickets and one a thousandth, some
# tags are everywhere and most are rare, a few people write often.
_TICKETS = """
INSERT INTO tickets (
    id, number, product, type, priority, status, title, description, language, tags,
    custom_fields, channel, submitter_id, submitter_tier, order_refs, external_ref, occurrences,
    created_at, updated_at, status_since, episode, episode_since, first_response_at, resolved_at,
    closed_at, close_reason, reopenings, rating_score, rated_at, links, set_by_person,
    opened_by_product, reminders, version, watchers, outcome)
SELECT
    uuidv7(created_at - now()), 'WB-' || 1000 + i, product, type, priority, status, one.body,
    two.body || '. ' || three.body || '. ' || four.body, language, tags,
    CASE WHEN r4 < 0.3 THEN jsonb_build_object('plan', plan, 'seats', 1 + i % 50) ELSE '{}' END,
    channel, person.id, CASE WHEN r5 < 0.05 THEN 'gold' WHEN r5 < 0.2 THEN 'silver' ELSE '' END,
    CASE WHEN r6 < 0.2 THEN ARRAY['A-' || i % 500000] ELSE '{}' END,
    CASE WHEN channel = 'event' THEN 'alert-' || i END, 1,
    created_at, least(coalesce(closed_at, created_at + r7 * interval '1 day'), now()),
    created_at, 5, created_at, created_at + r7 * interval '5 hours', resolved_at, closed_at,
    CASE WHEN closed_at IS NULL THEN NULL WHEN r8 < 0.5 THEN 'user_confirmed'
         WHEN r8 < 0.8 THEN 'auto_closed' WHEN r8 < 0.95 THEN 'resolved'
         WHEN r8 < 0.98 THEN 'no_action_needed' ELSE 'duplicate' END,
    CASE WHEN r9 < 0.06 THEN 1 ELSE 0 END, rating, CASE WHEN rating > 0 THEN closed_at END,
    '[]', '{type}', channel = 'event', '{}', 6,
    CASE WHEN r9 > 0.99 THEN '[{"email": "ana@example.com", "name": "Ana"}]'::jsonb ELSE '[]' END,
    CASE WHEN type = 'suggestion' AND r9 < 0.3 THEN 'planned' END
FROM (
    SELECT *,
        CASE WHEN open THEN NULL
             ELSE least(created_at + (1 + r7 * 13) * interval '1 day', now()) END AS closed_at,
        CASE WHEN NOT open THEN created_at + r7 * interval '3 days'
             WHEN status = 'resolved' THEN now() - r7 * interval '2 days' END AS resolved_at,
        CASE WHEN NOT open AND r9 < 0.25 THEN (1 + floor(5 * sqrt(r1)))::int END AS rating
    FROM (
        SELECT *, CASE WHEN NOT open THEN 'closed' ELSE
            (ARRAY['pending', 'in_progress', 'in_progress', 'awaiting_user', 'resolved'])
            [1 + floor(r8 * 5)::int] END AS status
        FROM (
            SELECT i, r1, r2, r4, r5, r6, r7, r8, r9,
                now() - ($3 - i) * ($4 * interval '1 day' / $3) AS created_at,
                CASE WHEN ($3 - i) * $4 / $3::float < 14 THEN r2 < 0.7 ELSE r2 < 0.005 END AS open,
                CASE WHEN r3 < 0.001 THEN 'tiny' ELSE
                    ($5::text[])[1 + floor(7 * r3 * r3)::int] END AS product,
                (ARRAY['technical', 'technical', 'order', 'order', 'account', 'product_inquiry',
                       'complaint', 'suggestion'])[1 + floor(r4 * 8)::int] AS type,
                CASE WHEN r5 < 0.03 THEN 'urgent' WHEN r5 < 0.15 THEN 'high'
                     WHEN r5 < 0.75 THEN 'medium' ELSE 'low' END AS priority,
                (ARRAY['en', 'en', 'en', 'en', 'en', 'de', 'de', 'fr', 'es', 'pl'])
                    [1 + floor(r6 * 10)::int] AS language,
                (ARRAY['free', 'free', 'team', 'team', 'gold'])[1 + floor(r7 * 5)::int] AS plan,
                (ARRAY['api', 'api', 'email', 'web', 'console', 'event'])
                    [1 + floor(r9 * 6)::int] AS channel,
                CASE WHEN r1 < 0.3 THEN '{}' WHEN r1 < 0.7
                     THEN ARRAY['tag-' || floor(400 * r2 ^ 4)]
                     ELSE ARRAY['tag-' || floor(400 * r3 ^ 4), 'area-' || floor(20 * r4 * r4)]
                END AS tags
            FROM (
                SELECT i, random() AS r1, random() AS r2, random() AS r3, random() AS r4,
                    random() AS r5, random() AS r6, random() AS r7, random() AS r8,
                    random() AS r9
                FROM generate_series($1::int, $2::int) AS i
            ) AS dice
        ) AS ticket
    ) AS ticket
) AS ticket
JOIN bench_text one ON one.id = ticket.i * 7919::bigint % $6
JOIN bench_text two ON two.id = ticket.i * 104729::bigint % $6
JOIN bench_text three ON three.id = ticket.i * 1299709::bigint % $6
JOIN bench_text four ON four.id = ticket.i * 15485863::bigint % $6
JOIN bench_person person ON person.position = floor(($3 / 5) * r8 * r8 * r8)::int
"""
_PEOPLE = """
CREATE UNLOGGED TABLE bench_person AS SELECT position, uuidv7() AS id
FROM generate_series(0, $1::int / 5) AS position
"""
_SUBMITTERS = """
INSERT INTO submitters (id, email, name)
SELECT id, 'person' || position || '@example.com', 'Person ' || position FROM bench_person
"""
_FACTS = """
INSERT INTO ticket_facts (
    ticket_id, routing_sequence, agent_id, agent_name, agent_email, team, sla_sequence,
    response_state, response_due_at, resolution_state, resolution_due_at, escalation_level)
SELECT id, 2, CASE WHEN held THEN 'agent-' || who END, CASE WHEN held THEN 'Agent ' || who END,
    CASE WHEN held THEN 'agent' || who || '@example.com' END,
    CASE WHEN dice < 0.8 THEN 'support' WHEN dice < 0.95 THEN 'senior_support' ELSE 'tech_team' END,
    3, CASE WHEN dice < 0.9 THEN 'met' ELSE 'breached' END, created_at + interval '1 day',
    CASE WHEN NOT open THEN CASE WHEN dice < 0.9 THEN 'met' ELSE 'breached' END
         WHEN status = 'awaiting_user' THEN 'paused' WHEN dice < 0.7 THEN 'running'
         WHEN dice < 0.9 THEN 'at_risk' ELSE 'breached' END,
    created_at + interval '3 days', CASE WHEN dice > 0.97 THEN 'tech_team' END
FROM (
    SELECT *, status <> 'closed' AS open, status IN ('in_progress', 'awaiting_user') AS held
    FROM (SELECT id, status, created_at, random() AS dice, floor(random() * 60)::int AS who
          FROM tickets) AS t
) AS t
"""
_LIST = f"{LIST} FROM tickets t LEFT JOIN ticket_facts f ON f.ticket_id = t.id"
_DOCUMENTS = """
INSERT INTO ticket_text (ticket_id, product, status, created_at, document)
SELECT t.id, t.product, t.status, t.created_at, setweight(one.document, 'A')
    || setweight(two.document || three.document || four.document, 'B')
FROM (SELECT *, substr(number, 4)::bigint - 1000 AS i FROM tickets) AS t
JOIN bench_text one ON one.id = t.i * 7919 % $1
JOIN bench_text two ON two.id = t.i * 104729 % $1
JOIN bench_text three ON three.id = t.i * 1299709 % $1
JOIN bench_text four ON four.id = t.i * 15485863 % $1
"""
_PARTED = ("ticket_list", "ticket_text")
_FILLED = (
    "tickets",
    "ticket_facts",
    *(f"{n}_{part}" for n in _PARTED for part in ("open", "closed")),
)


def sentences(file: Path | None) -> list[str]:
    """Questions from a CSV (first column) or CLINC's JSON, else words by Zipf's law."""
    if file is not None:
        if file.suffix == ".json":
            found = [text for part in json.loads(file.read_text()).values() for text, _ in part]
        else:
            with file.open(newline="") as rows:
                found = [row[0] for row in csv.reader(rows)][1:]
        return found
    dice = random.Random(7)
    syllables = [a + b for a in "bdfgklmnprstvz" for b in "aeiou"]
    words = ["".join(dice.choices(syllables, k=dice.randint(2, 4))) for _ in range(30_000)]
    weights = [1 / (rank + 3) for rank in range(len(words))]
    return [
        " ".join(dice.choices(words, weights, k=dice.randint(7, 16))) for _ in range(_SENTENCES)
    ]


async def fill(connection: "asyncpg.Connection", tickets: int, texts: Sequence[str]) -> None:
    """Put in so many tickets. Indexes are made afterwards, which is many times faster."""
    indexes = await connection.fetch(
        "SELECT indexname, indexdef FROM pg_indexes WHERE tablename = ANY($1) "
        "AND NOT EXISTS (SELECT 1 FROM pg_constraint WHERE conname = indexname) "
        "AND NOT EXISTS (SELECT 1 FROM pg_inherits WHERE inhrelid = indexname::regclass)",
        [*_FILLED, *_PARTED],
    )
    await connection.execute("SET maintenance_work_mem = '256MB'; SET work_mem = '64MB'")
    for name, _ in indexes:
        await connection.execute(f"DROP INDEX {name}")
    await connection.execute(_TEXTS, list(texts))
    await connection.execute(_PEOPLE, tickets)
    await connection.execute(_SUBMITTERS)
    await connection.execute(_TICKETS, 1, tickets, tickets, DAYS, list(PRODUCTS[:-1]), len(texts))
    await connection.execute(_FACTS)
    await connection.execute(_LIST)
    await connection.execute(_DOCUMENTS, len(texts))
    await connection.execute("DROP TABLE bench_text, bench_person")
    for _, definition in indexes:
        # A partitioned index is shown as if it stood alone.
        await connection.execute(definition.replace(" ON ONLY ", " ON "))
    for table in (*_FILLED, "submitters"):
        await connection.execute(f"VACUUM (ANALYZE) {table}")
    for table in _PARTED:
        await connection.execute(f"ANALYZE {table}")
