"""Where the project's own files lie."""

import os
from pathlib import Path

from waybill_cli.errors import StackError

_MARK = Path("deploy") / "topics.yaml"


def project_root() -> Path:
    """The checkout that holds `deploy/`: `WAYBILL_HOME`, else where this package is installed from.

    Raises StackError when neither holds `deploy/topics.yaml`.
    """
    named = os.environ.get("WAYBILL_HOME", "")
    root = Path(named).expanduser().resolve() if named else Path(__file__).resolve().parents[2]
    if not (root / _MARK).is_file():
        raise StackError(f"{root} holds no {_MARK}; set WAYBILL_HOME to a checkout of Waybill")
    return root
