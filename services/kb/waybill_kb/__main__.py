"""`python -m waybill_kb`: runs the service; `migrate` prepares its database."""

from pathlib import Path

from waybill_chassis.service import main

from waybill_kb.bootstrap import build
from waybill_kb.demo import seed
from waybill_kb.settings import Settings

if __name__ == "__main__":
    main(Settings, build, migrations=Path(__file__).parents[1] / "migrations", seed=seed)
