"""Edits of notes."""

from waybill_chassis.migrate import run_sql

revision = "0007"
down_revision = "0006"

_TABLES = """
-- What a note was like before each of its edits. Whoever erases words erases these too.
CREATE TABLE message_edits (
    position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    message_id uuid NOT NULL REFERENCES messages ON DELETE CASCADE,
    editor_id text NOT NULL,
    editor_name text NOT NULL,
    edited_at timestamptz NOT NULL,
    body text NOT NULL
);
CREATE INDEX message_edits_by_message ON message_edits (message_id, position);
"""


def upgrade() -> None:
    run_sql(_TABLES)


def downgrade() -> None:
    raise RuntimeError("what a migration added is kept")
