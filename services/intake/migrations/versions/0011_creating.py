"""What makes taking a ticket in cheaper."""

from waybill_chassis.migrate import run_sql

revision = "0011"
down_revision = "0010"

_TABLES = """
"""


def upgrade() -> None:
    run_sql(_TABLES)


def downgrade() -> None:
    raise RuntimeError("what a migration added is kept")
