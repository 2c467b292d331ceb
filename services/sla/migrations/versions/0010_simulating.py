"""Simulations, what they replay, and open clocks that are gone through for a ladder."""

from waybill_chassis.migrate import run_sql

revision = "0010"
down_revision = "0009"

_TABLES = """
ALTER TABLE redatings ADD COLUMN ladder text REFERENCES ladders (name);
ALTER TABLE redatings DROP CONSTRAINT redatings_check;
ALTER TABLE redatings
    ADD CONSTRAINT redatings_about CHECK (num_nonnulls(calendar_id, policy_id, ladder) = 1);
COMMENT ON COLUMN redatings.ladder IS 'The clocks whose policy names it get their timers anew.';
CREATE TABLE heard (
    ticket_id uuid NOT NULL,
    number bigint GENERATED ALWAYS AS IDENTITY,
    at timestamptz NOT NULL,
    fact jsonb NOT NULL,
    PRIMARY KEY (ticket_id, number)
);
COMMENT ON TABLE heard IS
    'What was learnt of a ticket, fact by fact: what a simulation replays. Nobody is named in it.';
COMMENT ON COLUMN heard.fact IS
    'What had changed: fields of the picture of intake, unassigned_since, repeated.';
CREATE TABLE simulations (
    id uuid PRIMARY KEY,
    filters jsonb NOT NULL,
    agreed jsonb NOT NULL,
    proposed jsonb NOT NULL,
    tally jsonb NOT NULL,
    total bigint NOT NULL,
    done bigint NOT NULL DEFAULT 0,
    before_ticket uuid,
    started_at timestamptz NOT NULL,
    started_by text NOT NULL,
    ended_at timestamptz,
    failure text
);
COMMENT ON COLUMN simulations.agreed IS
    'Policies, ladders, calendars and numbers as they stood; proposed likewise.';
COMMENT ON COLUMN simulations.before_ticket IS 'How far it has come; the newest ticket is first.';
CREATE INDEX simulations_open ON simulations (id) WHERE ended_at IS NULL;
"""


def upgrade() -> None:
    run_sql(_TABLES)


def downgrade() -> None:
    raise RuntimeError("what a migration added is kept")
