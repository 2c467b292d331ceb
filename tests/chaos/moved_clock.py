"""Runs sla as it is, on a machine whose clock is wrong by as many seconds as a file says.

`python moved_clock.py FILE`: the file is read each time that anybody asks for the time.
"""

import runpy
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from waybill_chassis.clock import SystemClock


def _moved(wrong_by: Path) -> None:
    def now(_: SystemClock) -> datetime:
        return datetime.now(UTC) + timedelta(seconds=float(wrong_by.read_text() or 0))

    # It stands for the machine, which cannot be handed in.
    SystemClock.now = now  # type: ignore[assignment,method-assign]


if __name__ == "__main__":
    _moved(Path(sys.argv.pop()))
    runpy.run_module("waybill_sla", run_name="__main__", alter_sys=True)
