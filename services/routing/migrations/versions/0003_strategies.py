"""How a queue chooses, and what was learnt of how agents work."""

from waybill_chassis.migrate import run_sql

revision = "0003"
down_revision = "0002"

_TABLES = """
ALTER TABLE queues
    ADD COLUMN needs text[] NOT NULL DEFAULT '{}',
    ADD COLUMN at_once integer CHECK (at_once >= 1),
    ADD CHECK (needs <@ ARRAY['type', 'product', 'language', 'tag']);

-- How many tickets of a type an agent solved, and sums of the logarithms of the seconds they took
-- and of their squares; old ones fade.
CREATE TABLE handling (
    agent_id uuid NOT NULL REFERENCES agents ON DELETE CASCADE,
    type text NOT NULL,
    tickets double precision NOT NULL,
    total double precision NOT NULL,
    squares double precision NOT NULL,
    PRIMARY KEY (agent_id, type)
) WITH (fillfactor = 50);

-- Whose a ticket is and what it is linked to, so that who knows them can have it. Of submitters
-- nothing but the id is kept, which stays when a person is erased.
CREATE TABLE ties (
    ticket_id uuid PRIMARY KEY,
    submitter_id uuid,
    links uuid[] NOT NULL DEFAULT '{}'
);
CREATE INDEX ties_by_submitter ON ties (submitter_id, ticket_id) WHERE submitter_id IS NOT NULL;

-- When sla was last asked how much time is left.
ALTER TABLE assignments ADD COLUMN asked_at timestamptz;

-- What waits in a queue that is served by what is due, and by how long it has waited.
CREATE INDEX assignments_waiting_by_due ON assignments (queue, due_at, ticket_id)
    WHERE state = 'queued' AND is_open;
CREATE INDEX assignments_waiting_by_age ON assignments (queue, opened_at, ticket_id)
    WHERE state = 'queued' AND is_open;
"""


def upgrade() -> None:
    run_sql(_TABLES)


def downgrade() -> None:
    raise RuntimeError("what a migration added is kept")
