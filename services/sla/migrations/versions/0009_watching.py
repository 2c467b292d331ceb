"""Reports, and the live list of what is at risk."""

from waybill_chassis.migrate import run_sql

revision = "0009"
down_revision = "0008"

_TABLES = """
ALTER TABLE clocks
    ADD COLUMN team text,
    ADD COLUMN agent text;
COMMENT ON COLUMN clocks.agent IS 'Who has the ticket by routing: the address, else the id.';

CREATE TABLE agents (
    agent text PRIMARY KEY,
    name text NOT NULL
);

CREATE TABLE holdings (
    ticket_id uuid NOT NULL REFERENCES clocks,
    sequence bigint NOT NULL,
    since timestamptz NOT NULL,
    team text NOT NULL,
    agent text,
    PRIMARY KEY (ticket_id, sequence)
);
COMMENT ON TABLE holdings IS
    'Who had a ticket from when on, as routing told; without an agent it waited.';

CREATE TABLE attendance (
    agent text NOT NULL,
    sequence bigint NOT NULL,
    since timestamptz NOT NULL,
    until timestamptz,
    present boolean NOT NULL,
    teams text[] NOT NULL,
    PRIMARY KEY (agent, sequence)
);
CREATE INDEX attendance_by_team ON attendance USING gin (teams);
CREATE INDEX attendance_now ON attendance (agent) WHERE until IS NULL;

CREATE TABLE term_changes (
    ticket_id uuid NOT NULL REFERENCES clocks,
    kind text NOT NULL,
    round integer NOT NULL,
    at timestamptz NOT NULL,
    due_before timestamptz NOT NULL,
    due_after timestamptz NOT NULL,
    PRIMARY KEY (ticket_id, kind, round, at)
);
COMMENT ON TABLE term_changes IS
    'What another policy, calendar or priority did to the due time of a target under way.';

CREATE TABLE outcomes (
    ticket_id uuid NOT NULL REFERENCES clocks,
    kind text NOT NULL,
    round integer NOT NULL,
    started_at timestamptz NOT NULL,
    allowed interval NOT NULL,
    due_at timestamptz NOT NULL,
    stopped_at timestamptz,
    breached boolean NOT NULL,
    calendar_id uuid NOT NULL,
    calendar_version bigint NOT NULL,
    product text NOT NULL,
    type text NOT NULL,
    priority text NOT NULL,
    team text NOT NULL DEFAULT '',
    agent text,
    cause text,
    evidence jsonb,
    PRIMARY KEY (ticket_id, kind, round)
);
COMMENT ON TABLE outcomes IS
    'Targets that were met or breached, with who had the ticket then, and why it was breached.';
CREATE INDEX outcomes_by_due ON outcomes (due_at)
    INCLUDE (kind, product, type, priority, team, agent, breached, cause);
CREATE INDEX outcomes_breached ON outcomes (due_at, ticket_id, kind, round) WHERE breached;
CREATE INDEX targets_open ON targets (due_at) WHERE state IN ('running', 'at_risk', 'paused');

CREATE TABLE judging (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    asked_at timestamptz,
    after uuid,
    done_at timestamptz
);
COMMENT ON TABLE judging IS 'A rebuild of the outcomes: asked for when, come how far, last done.';
INSERT INTO judging (asked_at) SELECT now() WHERE EXISTS (SELECT FROM targets);
INSERT INTO judging DEFAULT VALUES ON CONFLICT DO NOTHING;

CREATE TABLE risk_changes (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    tx xid8 NOT NULL DEFAULT pg_current_xact_id(),
    at timestamptz NOT NULL,
    before jsonb,
    after jsonb
);
COMMENT ON TABLE risk_changes IS
    'What came to be at risk, changed while it was, and ceased to be: for those who watch.';
CREATE INDEX risk_changes_by_tx ON risk_changes (tx);
CREATE INDEX risk_changes_by_time ON risk_changes (at);
"""


def upgrade() -> None:
    run_sql(_TABLES)


def downgrade() -> None:
    raise RuntimeError("what a migration added is kept")
