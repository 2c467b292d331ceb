"""Roll-ups."""

from waybill_chassis.migrate import run_sql

revision = "0010"
down_revision = "0009"

_TABLES = """
-- What each ticket counts for, and what has to be remembered of it for that. Times are seconds
-- since 1970; `opened` is the quarter of an hour in which the ticket was opened.
CREATE TABLE ticket_statistics (
    ticket_id uuid PRIMARY KEY,
    product text NOT NULL,
    type text NOT NULL,
    team text NOT NULL,
    opened bigint NOT NULL,
    history jsonb NOT NULL,
    counted jsonb NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX ticket_statistics_by_opening ON ticket_statistics (opened);

-- What has changed and is not in the roll-ups yet: only added to, so that nobody waits for a row.
CREATE TABLE statistics_deltas (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    kind text NOT NULL,
    at bigint NOT NULL,
    product text NOT NULL,
    type text NOT NULL,
    team text NOT NULL,
    key text NOT NULL,
    v bigint[] NOT NULL
);

-- The roll-ups: sums by level (the length of the bucket in seconds) and bucket. `whole` ones are
-- those of a whole product, without a type and a team.
CREATE TABLE statistics (
    kind text NOT NULL,
    whole boolean NOT NULL,
    level integer NOT NULL,
    at bigint NOT NULL,
    product text NOT NULL,
    type text NOT NULL,
    team text NOT NULL,
    key text NOT NULL,
    v bigint[] NOT NULL,
    -- In the order in which it is asked for: a type, or all of them by name, then a span.
    PRIMARY KEY (kind, whole, level, type, at, product, team, key)
) WITH (fillfactor = 80);

-- Names of agents, as routing or a token last said.
CREATE TABLE statistics_agents (
    agent text PRIMARY KEY,
    name text NOT NULL
);

-- One row: whether all tickets are to be counted anew, and when they last were.
CREATE TABLE statistics_state (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    asked_at timestamptz,
    rebuilt_at timestamptz
);
-- Tickets that are older than their statistics are counted once.
INSERT INTO statistics_state (asked_at) SELECT max(created_at) FROM tickets;
"""


def upgrade() -> None:
    run_sql(_TABLES)


def downgrade() -> None:
    raise RuntimeError("what a migration added is kept")
