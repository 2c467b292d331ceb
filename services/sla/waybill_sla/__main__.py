"""Runs the service: `python -m waybill_sla`; with `migrate` it prepares the database."""

from pathlib import Path

from waybill_chassis.service import main

from waybill_sla.bootstrap import build
from waybill_sla.settings import Settings

if __name__ == "__main__":
    main(Settings, build, migrations=Path(__file__).parents[1] / "migrations")
