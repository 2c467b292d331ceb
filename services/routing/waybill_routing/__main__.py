"""`python -m waybill_routing` runs the service."""

from pathlib import Path

from waybill_chassis.service import main

from waybill_routing.bootstrap import build
from waybill_routing.demo import seed
from waybill_routing.settings import Settings

if __name__ == "__main__":
    main(Settings, build, migrations=Path(__file__).parents[1] / "migrations", seed=seed)
