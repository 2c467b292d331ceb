"""Erased people."""

from waybill_chassis.migrate import run_sql

revision = "0009"
down_revision = "0008"

_TABLES = """
-- Of an erased person only the id stays: the same address may come again, as somebody new.
ALTER TABLE submitters
    ALTER COLUMN email DROP NOT NULL,
    ADD COLUMN erased_at timestamptz,
    ADD CHECK ((email IS NULL) = (erased_at IS NOT NULL));
CREATE INDEX submitters_by_name ON submitters USING gin (to_tsvector('simple', name));

ALTER TABLE tickets ADD COLUMN erased_at timestamptz;
CREATE INDEX tickets_by_watcher ON tickets USING gin (watchers jsonb_path_ops)
    WHERE watchers <> '[]';

-- What a person wrote in other people's tickets.
CREATE INDEX messages_by_submitter ON messages (lower(author_email))
    WHERE author_kind = 'submitter' AND author_email <> '';
"""


def upgrade() -> None:
    run_sql(_TABLES)


def downgrade() -> None:
    raise RuntimeError("what a migration added is kept")
