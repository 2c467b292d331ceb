"""Tickets waiting to be accepted, and why each decision was made."""

from waybill_chassis.migrate import run_sql

revision = "0005"
down_revision = "0004"

_TABLES = """
"""


def upgrade() -> None:
    run_sql(_TABLES)


def downgrade() -> None:
    raise RuntimeError("what a migration added is kept")
