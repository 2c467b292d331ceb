"""Calendars: working hours, holidays, exceptions; and the re-dating of open clocks."""

from waybill_chassis.migrate import run_sql

revision = "0003"
down_revision = "0002"

_TABLES = """
"""


def upgrade() -> None:
    run_sql(_TABLES)


def downgrade() -> None:
    raise RuntimeError("what a migration added is kept")
