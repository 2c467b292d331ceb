"""What an app of ours carries, so that its dependencies find it."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakValueDictionary

from starlette.applications import Starlette
from starlette.requests import HTTPConnection

from waybill_chassis.auth import TokenVerifier
from waybill_chassis.database import Database
from waybill_chassis.health import Health
from waybill_chassis.problems import Problem


@dataclass(frozen=True, slots=True)
class Equipment:
    """The adapters behind an app's dependencies."""

    verifier: TokenVerifier
    health: Health
    database: Database | None
    translate: Mapping[type[Exception], Callable[[Any], Problem]]
    key_locks: WeakValueDictionary[tuple[str, str], asyncio.Lock] = field(
        default_factory=WeakValueDictionary
    )
    """Requests with one Idempotency-Key queue here, so that waiting costs no connection."""


def equip(app: Starlette, equipment: Equipment) -> None:
    """Hand an app its adapters."""
    app.state.waybill = equipment


def equipment_of(request: HTTPConnection) -> Equipment:
    """The adapters of the app that serves this request."""
    equipment: Equipment = request.app.state.waybill
    return equipment
