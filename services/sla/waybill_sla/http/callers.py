"""Who reads and who writes what was agreed, and by which name."""

from typing import Annotated

from fastapi import Path
from waybill_chassis.auth import Principal
from waybill_chassis.http import require

Reader = Annotated[Principal, require("agent", "service")]
Admin = Annotated[Principal, require("admin")]
Name = Annotated[str, Path(max_length=63, examples=["office"])]
