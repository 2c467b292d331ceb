"""Agents, teams, queues, rules, assignments, and why they were made."""

from alembic import op
from waybill_chassis.schema import create_chassis_tables

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TABLES = """
CREATE TABLE teams (
    slug text PRIMARY KEY,
    name text NOT NULL,
    escalation_level smallint NOT NULL DEFAULT 0
);

CREATE TABLE queues (
    slug text PRIMARY KEY,
    team text NOT NULL REFERENCES teams,
    strategy text NOT NULL DEFAULT 'least_loaded'
);
CREATE INDEX queues_by_team ON queues (team);

CREATE TABLE rules (
    id uuid PRIMARY KEY,
    position integer NOT NULL,
    product text,
    type text,
    priority text,
    queue text NOT NULL REFERENCES queues
);
CREATE INDEX rules_by_position ON rules (position, id);

-- open_tickets is counted under the row's lock, which whoever gives or takes a ticket holds.
CREATE TABLE agents (
    id uuid PRIMARY KEY,
    email text NOT NULL CHECK (email = lower(email)),
    name text NOT NULL,
    skills text[] NOT NULL DEFAULT '{}',
    capacity integer NOT NULL CHECK (capacity >= 0),
    presence text NOT NULL,
    presence_since timestamptz NOT NULL,
    open_tickets integer NOT NULL DEFAULT 0 CHECK (open_tickets >= 0),
    last_assigned_at timestamptz,
    version bigint NOT NULL DEFAULT 1,
    CONSTRAINT agents_by_email UNIQUE (email)
) WITH (fillfactor = 50);

CREATE TABLE agent_teams (
    agent_id uuid NOT NULL REFERENCES agents ON DELETE CASCADE,
    team text NOT NULL REFERENCES teams,
    position smallint NOT NULL,
    PRIMARY KEY (agent_id, team)
);
CREATE INDEX agent_teams_by_team ON agent_teams (team, agent_id);

-- One row a ticket: what intake and sla say of it, and who has it. Version 0 is unplaced.
CREATE TABLE assignments (
    ticket_id uuid PRIMARY KEY,
    product text NOT NULL DEFAULT '',
    type text NOT NULL DEFAULT '',
    priority text NOT NULL DEFAULT '',
    status text NOT NULL DEFAULT '',
    opened_at timestamptz,
    intake_sequence bigint NOT NULL DEFAULT 0,
    risk_share double precision NOT NULL DEFAULT 0,
    due_at timestamptz,
    sla_sequence bigint NOT NULL DEFAULT 0,
    escalation_sequence bigint NOT NULL DEFAULT 0,
    state text NOT NULL DEFAULT 'unplaced',
    agent_id uuid REFERENCES agents,
    team text NOT NULL DEFAULT '',
    queue text NOT NULL DEFAULT '',
    version bigint NOT NULL DEFAULT 0,
    since timestamptz,
    why text NOT NULL DEFAULT '',
    method text,
    waiting_since timestamptz,
    given_back_by uuid,
    is_open boolean NOT NULL GENERATED ALWAYS AS (status NOT IN ('resolved', 'closed')) STORED,
    urgency smallint NOT NULL GENERATED ALWAYS AS (
        CASE priority WHEN 'urgent' THEN 0 WHEN 'high' THEN 1 WHEN 'medium' THEN 2
                      WHEN 'low' THEN 3 ELSE 4 END) STORED,
    CHECK ((state = 'assigned') = (agent_id IS NOT NULL))
) WITH (fillfactor = 70);

-- Who is served next.
CREATE INDEX assignments_waiting
    ON assignments (team, urgency, risk_share DESC, opened_at, ticket_id)
    WHERE state = 'queued' AND is_open;
-- What an agent holds.
CREATE INDEX assignments_by_agent ON assignments (agent_id) WHERE agent_id IS NOT NULL;
-- The order of StreamAssignments.
CREATE INDEX assignments_by_change ON assignments (since, ticket_id) WHERE version > 0;

CREATE TABLE decisions (
    ticket_id uuid NOT NULL,
    version bigint NOT NULL,
    state text NOT NULL,
    agent_id uuid,
    team text NOT NULL,
    queue text NOT NULL,
    method text,
    reason text,
    why text NOT NULL,
    cause text NOT NULL,
    decided_at timestamptz NOT NULL,
    PRIMARY KEY (ticket_id, version)
);
"""

_DEFAULTS = """
INSERT INTO teams (slug, name, escalation_level) VALUES
    ('support', 'Support', 0),
    ('senior_support', 'Senior support', 1),
    ('tech_team', 'Tech team', 2),
    ('management', 'Management', 3);

INSERT INTO queues (slug, team) SELECT slug, slug FROM teams;

-- The default rule: whatever no other rule speaks of. It is the last, and stays.
INSERT INTO rules (id, position, queue)
VALUES ('00000000-0000-0000-0000-000000000001', 1000000, 'support');
"""


def upgrade() -> None:
    create_chassis_tables(op.get_bind())
    for script in (_TABLES, _DEFAULTS):
        for statement in script.split(";"):
            if statement.strip():
                op.execute(statement)


def downgrade() -> None:
    raise RuntimeError("there is nothing before the first")
