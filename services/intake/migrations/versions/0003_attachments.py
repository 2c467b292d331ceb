"""Uploaded files."""

import secrets

from alembic import op
from sqlalchemy import text
from waybill_chassis.migrate import run_sql

revision = "0003"
down_revision = "0002"

_TABLES = """
-- A row is there only while its object is: it comes after it and goes before it.
CREATE TABLE attachments (
    id uuid PRIMARY KEY,
    filename text NOT NULL,
    media_type text NOT NULL,
    size_bytes bigint NOT NULL,
    sha256 text NOT NULL,
    created_at timestamptz NOT NULL,
    owner_kind text NOT NULL,
    owner text NOT NULL,
    products text[] NOT NULL,
    expires_at timestamptz,
    ticket_id uuid REFERENCES tickets,
    message_id uuid,
    internal boolean NOT NULL,
    CHECK ((ticket_id IS NULL) = (expires_at IS NOT NULL))
);
CREATE INDEX attachments_by_ticket ON attachments (ticket_id) WHERE ticket_id IS NOT NULL;
CREATE INDEX attachments_by_end ON attachments (expires_at) WHERE ticket_id IS NULL;
CREATE INDEX attachments_waiting ON attachments (owner, owner_kind) WHERE ticket_id IS NULL;
CREATE INDEX attachments_by_submitter ON attachments (owner) WHERE owner_kind = 'submitter';

-- Objects that nobody needs, or that an upload is just writing: the sweep deletes them when due.
-- Once one is doomed, no upload can end with it.
CREATE TABLE stray_objects (
    id uuid PRIMARY KEY,
    due_at timestamptz NOT NULL,
    doomed boolean NOT NULL
);
CREATE INDEX stray_objects_by_due ON stray_objects (due_at);

-- When the store was last gone through for objects that no table knows.
CREATE TABLE object_audits (
    done_at timestamptz NOT NULL
);
INSERT INTO object_audits VALUES ('-infinity');
"""


def upgrade() -> None:
    run_sql(_TABLES)
    op.get_bind().execute(
        text("INSERT INTO secrets VALUES ('attachment_links', :key)"),
        {"key": secrets.token_bytes(32)},
    )


def downgrade() -> None:
    raise RuntimeError("what a migration added is kept")
