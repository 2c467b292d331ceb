"""Tickets waiting to be accepted, and why each decision was made."""

from waybill_chassis.migrate import run_sql

revision = "0004"
down_revision = "0003"

_TABLES = """
-- When whoever has the ticket took it in hand; of what was given before this was kept, at once.
ALTER TABLE assignments ADD COLUMN accepted_at timestamptz;
UPDATE assignments SET accepted_at = since WHERE agent_id IS NOT NULL;

-- What was not accepted in time is kept from its agent for a while: given_back_by until then.
ALTER TABLE assignments ADD COLUMN given_back_until timestamptz;
CREATE INDEX assignments_not_accepted ON assignments (since)
    WHERE agent_id IS NOT NULL AND accepted_at IS NULL AND is_open;
CREATE INDEX assignments_kept_back ON assignments (given_back_until)
    WHERE given_back_until IS NOT NULL;

-- Since when an agent is there, available or busy, and on duty; NULL: since before this was kept.
ALTER TABLE agents
    ADD COLUMN present_since timestamptz,
    ADD COLUMN duty_since timestamptz;

-- By what it was decided, in the version of then; how many could have had it, and the best of them.
ALTER TABLE decisions
    ADD COLUMN rule_id uuid,
    ADD COLUMN rule_name text,
    ADD COLUMN rule_version bigint,
    ADD COLUMN strategy text,
    ADD COLUMN queue_version bigint,
    ADD COLUMN able integer NOT NULL DEFAULT 0,
    ADD COLUMN considered jsonb NOT NULL DEFAULT '[]';
"""


def upgrade() -> None:
    run_sql(_TABLES)


def downgrade() -> None:
    raise RuntimeError("what a migration added is kept")
