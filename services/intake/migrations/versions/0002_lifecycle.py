"""Watchers, outcomes, checklists and attachments on tickets and messages."""

from waybill_chassis.migrate import run_sql

revision = "0002"
down_revision = "0001"

_TABLES = """
ALTER TABLE tickets
    ADD COLUMN attachment_ids uuid[] NOT NULL DEFAULT '{}',
    ADD COLUMN watchers jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN outcome text,
    ADD COLUMN checks jsonb NOT NULL DEFAULT '[]';

ALTER TABLE messages
    ADD COLUMN attachment_ids uuid[] NOT NULL DEFAULT '{}',
    ADD COLUMN mentions text[] NOT NULL DEFAULT '{}',
    ADD COLUMN edited_at timestamptz,
    ADD COLUMN original_ticket_id uuid;
"""


def upgrade() -> None:
    run_sql(_TABLES)


def downgrade() -> None:
    raise RuntimeError("what a migration added is kept")
