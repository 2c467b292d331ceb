"""Reports, and the live list of what is at risk."""

from waybill_chassis.migrate import run_sql

revision = "0009"
down_revision = "0008"

_TABLES = """
"""


def upgrade() -> None:
    run_sql(_TABLES)


def downgrade() -> None:
    raise RuntimeError("what a migration added is kept")
