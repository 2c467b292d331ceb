"""Simulations, and changes of what was agreed."""

from waybill_chassis.migrate import run_sql

revision = "0010"
down_revision = "0009"

_TABLES = """
"""


def upgrade() -> None:
    run_sql(_TABLES)


def downgrade() -> None:
    raise RuntimeError("what a migration added is kept")
