"""Units of work that overlap: whoever began earlier takes nothing back that was told meanwhile."""

from datetime import timedelta
from typing import Any

import pytest
from waybill_sla.agreed import agreement
from waybill_sla.consumers import handle
from waybill_sla.domain.ledger import ALWAYS
from waybill_sla.redating import redate, step
from waybill_sla.store.redatings import Scope


@pytest.mark.parametrize("minutes", [7.5, 15])
@pytest.mark.parametrize("what", ["event", "redating"])
async def test_what_a_timer_told_while_another_waited_for_the_clock_stands(
    sla: Any, what: str, minutes: float
) -> None:
    """Who hears or dates anew began before the deadline and got the clock after the timer."""
    story, due = sla.ticket("urgent"), sla.clock.now() + timedelta(minutes=minutes)
    await sla.hear(story.opened())
    async with sla.database.unit_of_work() as uow:
        await redate(uow, Scope(calendar_id=ALWAYS.id), "root")
    sla.clock.set(due - timedelta(seconds=1))
    before = await sla.names(story)
    async with sla.database.unit_of_work() as uow:
        sla.clock.set(due)
        await sla.timers.turn()
        told = await sla.names(story)
        assert len(told) > len(before)
        if what == "event":
            await handle(uow, [story.noted(due - timedelta(seconds=2))])
        else:
            assert await step(uow, agreement, most=10)
    await sla.timers.turn()
    assert await sla.names(story) == told
