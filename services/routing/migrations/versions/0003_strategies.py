"""How a queue chooses, and what was learnt of how agents work."""

from waybill_chassis.migrate import run_sql

revision = "0003"
down_revision = "0002"

_TABLES = """
"""


def upgrade() -> None:
    run_sql(_TABLES)


def downgrade() -> None:
    raise RuntimeError("what a migration added is kept")
