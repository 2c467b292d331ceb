"""Clocks of erased people."""

from waybill_chassis.migrate import run_sql

revision = "0002"
down_revision = "0001"

_TABLES = """
ALTER TABLE clocks ADD COLUMN erased boolean NOT NULL DEFAULT false;
"""


def upgrade() -> None:
    run_sql(_TABLES)


def downgrade() -> None:
    raise RuntimeError("what a migration added is kept")
