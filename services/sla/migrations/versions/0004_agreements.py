"""Policies, ladders and settings that people write."""

from alembic import op
from waybill_chassis.migrate import run_sql
from waybill_chassis.stored_settings import create_settings_table

revision = "0004"
down_revision = "0003"

_TABLES = """
ALTER TABLE policies ADD COLUMN tag text, ADD COLUMN removed boolean NOT NULL DEFAULT false;
COMMENT ON COLUMN policies.removed IS
    'No ticket gets it any more; the clocks that have it keep it.';
ALTER TABLE policy_versions
    ADD COLUMN ladder text NOT NULL DEFAULT 'default',
    ADD COLUMN created_by text NOT NULL DEFAULT 'waybill';
ALTER TABLE ladders
    ADD COLUMN version bigint NOT NULL DEFAULT 1,
    ADD COLUMN removed boolean NOT NULL DEFAULT false,
    ADD COLUMN updated_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN updated_by text NOT NULL DEFAULT 'waybill';
ALTER TABLE clocks ADD COLUMN tags text[];
"""


def upgrade() -> None:
    create_settings_table(op.get_bind())
    run_sql(_TABLES)


def downgrade() -> None:
    raise RuntimeError("what a migration added is kept")
