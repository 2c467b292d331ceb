"""`python -m waybill_intake` runs the service; `... migrate` prepares its database."""

from pathlib import Path

from waybill_chassis.service import main

from waybill_intake.bootstrap import build
from waybill_intake.settings import Settings

if __name__ == "__main__":
    main(Settings, build, migrations=Path(__file__).parents[1] / "migrations")
