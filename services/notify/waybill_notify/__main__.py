"""`python -m waybill_notify` runs the service, `... migrate` prepares its database."""

from pathlib import Path

from waybill_chassis.service import main

from waybill_notify.bootstrap import build
from waybill_notify.settings import Settings

if __name__ == "__main__":
    main(Settings, build, migrations=Path(__file__).parents[1] / "migrations")
