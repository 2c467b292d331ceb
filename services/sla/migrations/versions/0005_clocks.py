"""What clocks keep beside the default targets."""

from waybill_chassis.migrate import run_sql

revision = "0005"
down_revision = "0004"

_TABLES = """
ALTER TABLE clocks
    ADD COLUMN last_public_at timestamptz,
    ADD COLUMN last_public_by text;
ALTER TABLE targets
    ADD COLUMN started_at timestamptz,
    ADD COLUMN round integer NOT NULL DEFAULT 0;
COMMENT ON COLUMN targets.round IS
    'Which question, or which wait for news, it is about; 0 for a target that there is once.';
"""


def upgrade() -> None:
    run_sql(_TABLES)


def downgrade() -> None:
    raise RuntimeError("what a migration added is kept")
