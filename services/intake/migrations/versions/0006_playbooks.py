"""Handling checklists, and what was suspected of tickets."""

from waybill_chassis.migrate import run_sql

revision = "0006"
down_revision = "0005"

_TABLES = """
-- One whose points are null was removed: its version goes on, so that no old one fits again.
CREATE TABLE playbooks (
    product text NOT NULL,
    type text NOT NULL,
    points jsonb,
    version bigint NOT NULL,
    updated_at timestamptz NOT NULL,
    updated_by text NOT NULL,
    PRIMARY KEY (product, type)
);

ALTER TABLE tickets ADD COLUMN skipped text[] NOT NULL DEFAULT '{}';

ALTER TABLE ticket_facts
    ADD COLUMN assigned_at timestamptz,
    ADD COLUMN triaged_version bigint NOT NULL DEFAULT 0,
    ADD COLUMN kb_sequence bigint NOT NULL DEFAULT 0,
    ADD COLUMN suspected jsonb NOT NULL DEFAULT '[]';
"""


def upgrade() -> None:
    run_sql(_TABLES)


def downgrade() -> None:
    raise RuntimeError("what a migration added is kept")
