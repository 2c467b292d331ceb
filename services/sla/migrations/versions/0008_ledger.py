"""What the ledger keeps with each segment."""

from waybill_chassis.migrate import run_sql

revision = "0008"
down_revision = "0007"

_TABLES = """
"""


def upgrade() -> None:
    run_sql(_TABLES)


def downgrade() -> None:
    raise RuntimeError("what a migration added is kept")
