"""Merges, so that they can be undone."""

from waybill_chassis.migrate import run_sql

revision = "0008"
down_revision = "0007"

_TABLES = """
CREATE TABLE merges (
    id uuid PRIMARY KEY,
    source_id uuid NOT NULL REFERENCES tickets,
    target_id uuid NOT NULL REFERENCES tickets,
    merged_at timestamptz NOT NULL,
    undone_at timestamptz,
    -- what the tickets were like before
    body jsonb NOT NULL,
    -- the messages that moved from the source to the target
    message_ids uuid[] NOT NULL
);
CREATE INDEX merges_by_source ON merges (source_id, merged_at DESC);
CREATE INDEX merges_by_target ON merges (target_id);
-- what a merged ticket has given away
CREATE INDEX messages_by_origin ON messages (original_ticket_id, created_at, id)
    WHERE original_ticket_id IS NOT NULL;

"""


def upgrade() -> None:
    run_sql(_TABLES)


def downgrade() -> None:
    raise RuntimeError("what a migration added is kept")
