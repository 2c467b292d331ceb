"""Settings that are kept in the database, and products' custom fields."""

from alembic import op
from waybill_chassis.stored_settings import create_settings_table

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    create_settings_table(op.get_bind())


def downgrade() -> None:
    raise RuntimeError("what a migration added is kept")
