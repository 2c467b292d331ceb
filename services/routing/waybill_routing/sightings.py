"""Signs of life: whoever uses routing, or is told of by intake, is there."""

from datetime import datetime, timedelta

from waybill_chassis.auth import Principal
from waybill_chassis.database import Database

from waybill_routing import usecases

_AT_MOST_EVERY = timedelta(minutes=1)
_MOST_REMEMBERED = 10_000


class Sightings:
    """Keeps them to the minute: what this process has kept a moment ago costs nothing."""

    def __init__(self, database: Database) -> None:
        """Nothing is kept before the first one."""
        self._database = database
        self._kept: dict[str, datetime] = {}

    async def see(self, caller: Principal) -> None:
        """The holder of a token asks for something."""
        address, now = caller.address, self._database.clock.now()
        kept = None if address is None else self._kept.get(address)
        if address is None or (kept is not None and now - kept < _AT_MOST_EVERY):
            return
        if len(self._kept) >= _MOST_REMEMBERED:
            self._kept.clear()
        self._kept[address] = now
        async with self._database.unit_of_work() as uow:
            await usecases.see(uow, [address], now)
