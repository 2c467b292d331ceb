"""Erasures under way, which go on when the process that began one is gone."""

from waybill_chassis.migrate import run_sql

revision = "0011"
down_revision = "0010"

_TABLES = """
-- Who asked for it, and when the last step was done; both gone with the last one.
ALTER TABLE submitters
    ADD COLUMN erasing_for jsonb,
    ADD COLUMN erasing_at timestamptz,
    ADD CHECK ((erasing_for IS NULL) = (erasing_at IS NULL));
CREATE INDEX submitters_erasing ON submitters (erasing_at) WHERE erasing_at IS NOT NULL;
"""


def upgrade() -> None:
    run_sql(_TABLES)


def downgrade() -> None:
    raise RuntimeError("what a migration added is kept")
