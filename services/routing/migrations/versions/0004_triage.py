"""Triage: its models, and what was suggested."""

from waybill_chassis.migrate import run_sql

revision = "0004"
down_revision = "0003"

_TABLES = """
"""


def upgrade() -> None:
    run_sql(_TABLES)


def downgrade() -> None:
    raise RuntimeError("what a migration added is kept")
