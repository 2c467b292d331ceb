"""Timers shared out among replicas."""

from waybill_chassis.migrate import run_sql

revision = "0006"
down_revision = "0005"

_TABLES = """
"""


def upgrade() -> None:
    run_sql(_TABLES)


def downgrade() -> None:
    raise RuntimeError("what a migration added is kept")
