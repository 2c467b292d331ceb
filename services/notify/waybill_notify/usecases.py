"""What notify does with its ledger. The edge commits."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from waybill_chassis.database import UnitOfWork
from waybill_chassis.events import TraceContext

from waybill_notify import metrics, store
from waybill_notify.domain import (
    NOT_TRIED,
    Attempt,
    Delivery,
    Knowledge,
    NoSuchDelivery,
    NotDead,
    Outcome,
    RetryPolicy,
    State,
    Unsubscribed,
    Verdict,
    after_attempt,
)
from waybill_notify.events import is_unsubscribed, outcome_event
from waybill_notify.store import Finished


@dataclass(frozen=True, slots=True)
class Result:
    """How an attempt at a delivery ended, and the span that it was made in."""

    delivery: Delivery
    outcome: Outcome
    started_at: datetime
    ended_at: datetime
    trace: TraceContext
    chance: float = 0.5
    """From 0 to 1: varies the pause before the next attempt."""
    knowledge: Knowledge | None = None
    """None where the knowledge base was not asked in this attempt."""


async def book(uow: UnitOfWork, results: Sequence[Result], policy: RetryPolicy) -> None:
    """Write into the ledger how attempts ended, and tell of the deliveries that have ended."""
    by_id: dict[UUID, Result] = {}
    for result in results:
        known = by_id.get(result.delivery.id)
        if known is None or known.outcome.verdict is not Verdict.ACCEPTED:
            by_id[result.delivery.id] = result
    finished = [
        Finished(
            result.delivery,
            after_attempt(
                result.delivery,
                result.outcome,
                now=result.ended_at,
                policy=policy,
                chance=result.chance,
            ),
            _attempt(result),
        )
        for result in by_id.values()
    ]
    accepted = {
        id: result.ended_at
        for id, result in by_id.items()
        if result.outcome.verdict is Verdict.ACCEPTED
    }
    changed = {each.id: each for each in await store.finish(uow, finished, accepted)}
    for id, result in by_id.items():
        if id in changed:
            _tell(uow, changed[id], result.trace, result.knowledge)
            _measure(changed[id], result)


def _attempt(result: Result) -> Attempt | None:
    if result.outcome.verdict in NOT_TRIED:
        return None
    return Attempt(
        number=result.delivery.attempts,
        started_at=result.started_at,
        ended_at=result.ended_at,
        outcome=str(result.outcome.verdict),
        detail=result.outcome.detail,
        traceparent=result.trace.traceparent,
    )


def _tell(
    uow: UnitOfWork, delivery: Delivery, trace: TraceContext, knowledge: Knowledge | None = None
) -> None:
    if delivery.state in (State.DELIVERED, State.DEAD):
        uow.emit(
            outcome_event(delivery, knowledge),
            subject=delivery.ticket_id,
            occurred_at=delivery.delivered_at,
            trace=trace,
        )


def _measure(delivery: Delivery, result: Result) -> None:
    labels = {"template": delivery.template}
    metrics.attempts.add(1, labels | {"outcome": str(result.outcome.verdict)})
    if delivery.delivered_at is not None:
        waited = delivery.delivered_at - delivery.created_at
        metrics.delivery_seconds.record(waited.total_seconds(), labels)


async def wait_for_server(uow: UnitOfWork, why: str, policy: RetryPolicy) -> None:
    """The mail server is away: say so at what waits, and give up what has waited too long."""
    for delivery in await store.expire(uow, why, before=uow.now - policy.patience):
        _tell(uow, delivery, TraceContext(delivery.traceparent, delivery.tracestate))
    await store.note_away(uow, why)


async def retry(uow: UnitOfWork, id: UUID, sees: Callable[[str], bool]) -> Delivery:
    """Try a dead delivery again, with all its attempts anew. `sees` tells of a product."""
    delivery = await store.lock(uow, id)
    if delivery is None or not sees(delivery.product):
        raise NoSuchDelivery
    if delivery.state is not State.DEAD:
        raise NotDead(delivery.state)
    pictures = await store.read_pictures(uow.connection, [delivery.ticket_id])
    if any(is_unsubscribed(picture.ticket) for picture in pictures.values()):
        raise Unsubscribed
    return await store.revive(uow, id)
