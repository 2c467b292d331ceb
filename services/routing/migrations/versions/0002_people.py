"""Skills with levels, shifts, absences, stand-ins; rules that look at more."""

from alembic import op
from waybill_chassis.migrate import run_sql
from waybill_chassis.stored_settings import create_settings_table

revision = "0002"
down_revision = "0001"

_TABLES = """
CREATE TABLE agent_skills (
    agent_id uuid NOT NULL REFERENCES agents ON DELETE CASCADE,
    kind text NOT NULL,
    value text NOT NULL,
    level smallint NOT NULL CHECK (level BETWEEN 1 AND 5),
    PRIMARY KEY (agent_id, kind, value)
);

INSERT INTO agent_skills (agent_id, kind, value, level)
SELECT DISTINCT g.id,
       CASE WHEN s.value IN ('technical', 'account', 'order', 'product_inquiry', 'complaint',
                             'suggestion') THEN 'type' ELSE 'tag' END,
       s.value, 3
FROM agents AS g CROSS JOIN LATERAL unnest(g.skills) AS s (value);

-- load is the weight of the open tickets, counted like their number. on_duty and stand_in hold
-- until duty_until: what shifts and absences mean is worked out when they change, not for each
-- ticket. The shifts are as REST takes them; none: always.
ALTER TABLE agents
    DROP COLUMN skills,
    DROP CONSTRAINT agents_by_email,
    ADD COLUMN load integer NOT NULL DEFAULT 0 CHECK (load >= 0),
    ADD COLUMN on_duty boolean NOT NULL DEFAULT true,
    ADD COLUMN stand_in uuid REFERENCES agents,
    ADD COLUMN duty_until timestamptz,
    ADD COLUMN shifts jsonb,
    ADD COLUMN silent_from text,
    ADD COLUMN removed_at timestamptz;
UPDATE agents SET load = open_tickets;
CREATE UNIQUE INDEX agents_by_email ON agents (email) WHERE removed_at IS NULL;
CREATE INDEX agents_by_duty ON agents (duty_until) WHERE duty_until IS NOT NULL;

CREATE TABLE absences (
    agent_id uuid NOT NULL REFERENCES agents ON DELETE CASCADE,
    begins timestamptz NOT NULL,
    ends timestamptz,
    reason text NOT NULL DEFAULT '',
    stand_in uuid REFERENCES agents,
    PRIMARY KEY (agent_id, begins),
    CHECK (begins < ends),
    CHECK (stand_in <> agent_id)
);
CREATE INDEX absences_by_stand_in ON absences (stand_in) WHERE stand_in IS NOT NULL;

-- Apart from the agents, so that a sign of life waits for nobody who gives them a ticket.
CREATE TABLE sightings (
    agent_id uuid PRIMARY KEY REFERENCES agents ON DELETE CASCADE,
    seen_at timestamptz NOT NULL
) WITH (fillfactor = 50);

ALTER TABLE teams ADD COLUMN version bigint NOT NULL DEFAULT 1;
ALTER TABLE queues ADD COLUMN version bigint NOT NULL DEFAULT 1;

ALTER TABLE rules
    ALTER COLUMN product TYPE text[] USING array_remove(ARRAY[product], NULL),
    ALTER COLUMN type TYPE text[] USING array_remove(ARRAY[type], NULL),
    ALTER COLUMN priority TYPE text[] USING array_remove(ARRAY[priority], NULL),
    ADD COLUMN language text[] NOT NULL DEFAULT '{}',
    ADD COLUMN tier text[] NOT NULL DEFAULT '{}',
    ADD COLUMN tags_any text[] NOT NULL DEFAULT '{}',
    ADD COLUMN tags_all text[] NOT NULL DEFAULT '{}',
    ADD COLUMN text text[] NOT NULL DEFAULT '{}',
    ADD COLUMN name text,
    ADD COLUMN enabled boolean NOT NULL DEFAULT true,
    ADD COLUMN version bigint NOT NULL DEFAULT 1;
UPDATE rules SET name = CASE WHEN id = '00000000-0000-0000-0000-000000000001' THEN 'default'
                             ELSE 'rule-' || right(CAST(id AS text), 12) END;
ALTER TABLE rules
    ALTER COLUMN product SET NOT NULL, ALTER COLUMN product SET DEFAULT '{}',
    ALTER COLUMN type SET NOT NULL, ALTER COLUMN type SET DEFAULT '{}',
    ALTER COLUMN priority SET NOT NULL, ALTER COLUMN priority SET DEFAULT '{}',
    ALTER COLUMN name SET NOT NULL,
    ADD CONSTRAINT rules_by_name UNIQUE (name);

-- What rules ask of a ticket; its text is not among it.
ALTER TABLE assignments
    ADD COLUMN language text NOT NULL DEFAULT '',
    ADD COLUMN tags jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN tier text NOT NULL DEFAULT '',
    ADD COLUMN weight smallint NOT NULL DEFAULT 1;
"""


def upgrade() -> None:
    run_sql(_TABLES)
    create_settings_table(op.get_bind())


def downgrade() -> None:
    raise RuntimeError("what a migration added is kept")
