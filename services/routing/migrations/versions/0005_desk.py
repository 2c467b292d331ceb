"""Tickets waiting to be accepted, and why each decision was made."""

from waybill_chassis.migrate import run_sql

revision = "0005"
down_revision = "0004"

_TABLES = """
-- When whoever has the ticket took it in hand; of what was given before this was kept, at once.
ALTER TABLE assignments ADD COLUMN accepted_at timestamptz;
UPDATE assignments SET accepted_at = since WHERE agent_id IS NOT NULL;

-- What agents have and did not touch.
CREATE INDEX assignments_untouched ON assignments (agent_id)
    WHERE agent_id IS NOT NULL AND accepted_at IS NULL AND is_open;
"""


def upgrade() -> None:
    run_sql(_TABLES)


def downgrade() -> None:
    raise RuntimeError("what a migration added is kept")
