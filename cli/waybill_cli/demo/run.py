"""One run of the demonstration: what is sent, and what became of it."""

import asyncio
import time
from dataclasses import dataclass, field
from typing import Protocol

from waybill_cli.demo.doors import Send, open_doors
from waybill_cli.demo.plan import Plan
from waybill_cli.demo.watch import Watch
from waybill_cli.local.settings import StackSettings

_POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of it; `gave_up` says why the wait ended early."""

    plan: Plan
    seconds: float
    sending_seconds: float
    gave_up: str | None = None
    warnings: list[str] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether nothing is missing."""
        return all(all(ticket.stages) for ticket in self.plan.tickets)


class Progress(Protocol):
    """Who is told how far we are."""

    def tell(self, plan: Plan, seconds: float) -> None:
        """Called about once a second."""


async def follow(stack: StackSettings, plan: Plan, progress: Progress) -> Outcome:
    """Send all tickets and wait until each has its receipt, or nothing moves any more.

    Raises StackError when the broker or the gateway is away at the start.
    """
    began = time.monotonic()
    async with open_doors(stack, plan.tag) as send, Watch(stack, plan) as watch:
        sending = asyncio.create_task(_send(plan, send))
        try:
            gave_up = await _until_done(plan, watch, sending, progress, began)
        finally:
            sending.cancel()
        sent_for = (await asyncio.gather(sending, return_exceptions=True))[0]
    seconds = time.monotonic() - began
    progress.tell(plan, seconds)
    sending_seconds = sent_for if isinstance(sent_for, float) else seconds
    return Outcome(plan, seconds, sending_seconds, gave_up, watch.warnings)


async def _send(plan: Plan, send: Send) -> float:
    """Send at the planned rate, however long each answer takes; the seconds it took."""
    began = time.monotonic()
    under_way: set[asyncio.Task[None]] = set()
    for position, ticket in enumerate(plan.tickets):
        late = began + position / plan.rate - time.monotonic()
        if late > 0:
            await asyncio.sleep(late)
        task = asyncio.create_task(send(ticket))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    if under_way:
        await asyncio.wait(under_way)
    return time.monotonic() - began


async def _until_done(
    plan: Plan, watch: Watch, sending: "asyncio.Task[float]", progress: Progress, began: float
) -> str | None:
    """None when every ticket has passed every stage, else why we stopped waiting."""
    moved = time.monotonic()
    before = (0, 0)
    while True:
        await watch.look()
        progress.tell(plan, time.monotonic() - began)
        now = (
            sum(sum(t.stages) for t in plan.tickets),
            sum(t.sent_at is not None for t in plan.tickets),
        )
        if now != before:
            before, moved = now, time.monotonic()
        failed = [ticket for ticket in plan.tickets if ticket.error]
        if sending.done():
            if sending.exception():
                return f"sending broke off: {sending.exception()}"
            if all(all(t.stages) or t in failed for t in plan.tickets):
                return f"{len(failed)} requests were refused" if failed else None
        if time.monotonic() - moved > plan.patience:
            return f"nothing moved for {plan.patience:.0f} s"
        await asyncio.sleep(_POLL_SECONDS)
