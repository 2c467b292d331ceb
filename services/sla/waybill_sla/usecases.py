"""What the service does: hears facts, fires timers, escalates. The edge commits."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

import structlog
from waybill_chassis.causes import Origin, automation, nameless, timer_cause
from waybill_chassis.database import UnitOfWork
from waybill_chassis.events import TraceContext
from waybill_chassis.ids import new_id
from waybill_chassis.lookup import unknown_ticket
from waybill_chassis.telemetry import current_trace, timer_span
from waybill_chassis.telemetry.spans import LightSpan

from waybill_sla import events, store
from waybill_sla.agreed import agreement
from waybill_sla.domain import facts, ladder, simulation, timing
from waybill_sla.domain.clock import Clock, Outcome
from waybill_sla.domain.ledger import LookedBack
from waybill_sla.domain.policy import Agreement
from waybill_sla.domain.targets import Hearing
from waybill_sla.domain.telling import TargetAtRisk, TargetBreached, Telling, TicketEscalated
from waybill_sla.domain.ticket import Repetition, Ticket, Wait
from waybill_sla.domain.words import Level, TimerKind, Trigger
from waybill_sla.store.simulations import keep_heard

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Erasure:
    """The person with this submitter id is to be forgotten."""

    submitter_id: str


Fact = Ticket | Wait | Repetition | Erasure


@dataclass(frozen=True, slots=True)
class News:
    """A fact about a ticket, when it happened and where it comes from.

    `again` also takes what bears the number that was heard last, as a comparison does.
    """

    ticket_id: UUID
    fact: Fact
    at: datetime
    origin: Origin
    again: bool = False


async def hear(uow: UnitOfWork, news: Sequence[News]) -> dict[UUID, Clock]:
    """Take in facts in their order: load all clocks, decide in memory, write what changed."""
    if not news:
        return {}
    loaded = await store.lock(uow.connection, (item.ticket_id for item in news))
    agreed = await agreement(uow)
    clocks = {id: found.clock for id, found in loaded.items()}
    last: dict[UUID, News] = {}
    new: list[tuple[UUID, simulation.Learnt]] = []
    for item in news:
        outcome = await _heard_whole(uow, clocks[item.ticket_id], item, agreed)
        if what := simulation.learnt(clocks[item.ticket_id], outcome.clock):
            new.append((item.ticket_id, simulation.Learnt(item.at, what)))
        clocks[item.ticket_id] = outcome.clock
        last[item.ticket_id] = item
        tell(uow, outcome, nameless(item.origin) if outcome.clock.erased else item.origin)
    keep_heard(uow, new)
    overtaken = await store.keep_holdings(
        uow.connection,
        [
            store.Told(item.ticket_id, item.fact, item.at)
            for item in news
            if isinstance(item.fact, Wait)
        ],
    )
    await store.save(
        uow.connection,
        [
            changed(loaded[id], clocks[id], agreed, at=item.at, trace=item.origin.trace)
            for id, item in last.items()
        ],
    )
    if overtaken:
        await store.judge_anew(uow.connection, [clocks[id] for id in overtaken])
    return clocks


async def _heard_whole(uow: UnitOfWork, clock: Clock, item: News, agreed: Agreement) -> Outcome:
    """What a fact does; what reaches far back is judged by the whole ledger."""
    try:
        return _heard(clock, item, agreed, uow.now)
    except LookedBack:
        whole = (await store.whole(uow.connection, [clock]))[clock.ticket_id]
        return _heard(whole, item, agreed, uow.now)


def present(clock: Clock, now: datetime) -> datetime:
    """What time it is for a clock: a timer may have told of it since this unit of work began."""
    return max(now, clock.updated_at or now)


def _heard(clock: Clock, item: News, agreed: Agreement, now: datetime) -> Outcome:
    match item.fact:
        case Ticket() as ticket:
            hearing = Hearing(item.at, item.origin.cause.id, present(clock, now), new_id)
            return facts.hear_ticket(clock, ticket, hearing, agreed, again=item.again)
        case Wait() as wait:
            return facts.hear_wait(clock, wait)
        case Repetition() as repetition:
            return facts.hear_repetition(clock, repetition, agreed, now)
        case Erasure(submitter_id):
            return facts.forget_person(clock, submitter_id)


@dataclass(frozen=True, slots=True)
class Effect:
    """What a timer did, its span, and since when it could have."""

    ticket_id: UUID
    kind: str
    since: datetime
    span: LightSpan


@dataclass(slots=True)
class Fired:
    """What came due: timers and clocks in hand, the effects, and whether more may be waiting."""

    timers: int = 0
    clocks: int = 0
    failed: list[tuple[UUID, Exception]] = field(default_factory=list)
    effects: list[Effect] = field(default_factory=list)
    full: bool = False


BREATH = 20
"""After so many clocks of a batch others have their turn in the process."""


async def fire(uow: UnitOfWork, span: store.Span, *, most: int, patience: float = 1.0) -> Fired:
    """Do what is due in `span`, of about `most` timers; whatever is stale just goes away.

    Whoever freezes for more than `patience` seconds meanwhile loses what it has in hand.
    """
    # The clock may have been set back since.
    span = replace(span, until=min(span.until, uow.now))
    claimed = await store.claim(uow.connection, span, most, patience)
    fired = Fired(claimed.timers, full=claimed.timers >= most)
    if not claimed.clocks:
        return fired
    agreed = await agreement(uow)
    changes = []
    for place, found in enumerate(claimed.clocks.values(), 1):
        if place % BREATH == 0:
            await asyncio.sleep(0)
        try:
            outcomes = _come_due(found, agreed, span.until, uow.now)
        except Exception as error:  # noqa: BLE001 - one clock must not hold up the others
            fired.failed.append((found.clock.ticket_id, error))
            continue
        for timer, outcome in outcomes:
            _tell_fired(uow, timer, outcome, fired)
        clock = outcomes[-1][1].clock if outcomes else found.clock
        changes.append(changed(found, clock, agreed, at=uow.now, trace=None))
        fired.clocks += 1
    await store.save(uow.connection, changes)
    return fired


def _come_due(
    found: store.Loaded, agreed: Agreement, until: datetime, now: datetime
) -> list[tuple[store.Timer, Outcome]]:
    """What the due timers of one clock do, one after the other."""
    clock = found.clock
    timers = {timer.alarm: timer for timer in found.timers}
    outcomes = []
    for alarm in timing.due(clock, timers, agreed, until):
        outcome = timing.fire(clock, alarm, agreed, now, new_id())
        outcomes.append((timers[alarm], outcome))
        clock = outcome.clock
    return outcomes


def _tell_fired(uow: UnitOfWork, timer: store.Timer, outcome: Outcome, fired: Fired) -> None:
    alarm = timer.alarm
    span = timer_span(
        f"timer {alarm.kind}",
        timer.armed_by,
        {
            "waybill.ticket_id": str(timer.ticket_id),
            "waybill.timer.name": alarm.name,
            "waybill.timer.due_at": alarm.due_at.isoformat(),
        },
    )
    # What set the deadline may itself have happened after it, as a change of priority does.
    since = max(alarm.due_at, timer.armed_at)
    fired.effects.append(Effect(timer.ticket_id, alarm.kind.value, since, span))
    cause = timer_cause(_word(timer), timer.id)
    tell(uow, outcome, Origin(automation("sla"), cause, span.trace))


def _word(timer: store.Timer) -> str:
    """What the causes call a timer: `response_due`, `resolution_warning`, `reminder_1`."""
    alarm = timer.alarm
    if alarm.kind is TimerKind.UNASSIGNED or alarm.name == alarm.kind:
        return alarm.name
    return f"{alarm.name}_{alarm.kind}"


async def escalate(
    uow: UnitOfWork,
    ticket_id: UUID,
    *,
    level: Level,
    teams: tuple[str, ...],
    comment: str,
    origin: Origin,
) -> Clock:
    """A person escalates a ticket whose clock is known."""
    loaded = (await store.lock(uow.connection, [ticket_id]))[ticket_id]
    agreed = await agreement(uow)
    if loaded.clock.ticket is None:
        raise unknown_ticket(ticket_id)
    outcome = ladder.by_hand(loaded.clock, level, teams, comment, uow.now)
    tell(uow, outcome, origin)
    change = changed(loaded, outcome.clock, agreed, at=uow.now, trace=None)
    await store.save(uow.connection, [change])
    return outcome.clock


def tell(uow: UnitOfWork, outcome: Outcome, origin: Origin) -> None:
    """Emit what an outcome tells. What the ladder does, it does by itself."""
    for told in outcome.told:
        came_from = origin.by_itself("sla") if _by_itself(told) else origin
        uow.emit(
            events.to_message(told, outcome.clock, came_from.actor, came_from.cause),
            subject=outcome.clock.ticket_id,
            occurred_at=told.at,
            trace=origin.trace,
            event_id=told.id if isinstance(told, TargetBreached) else None,
        )


def _by_itself(told: Telling) -> bool:
    if isinstance(told, TicketEscalated):
        return told.trigger is not Trigger.BY_HAND
    return isinstance(told, TargetAtRisk | TargetBreached)


def changed(
    loaded: store.Loaded,
    clock: Clock,
    agreed: Agreement,
    *,
    at: datetime,
    trace: TraceContext | None,
) -> store.Changed:
    """What is to be written: the clock, and the timers that it needs now and did not need yet."""
    alarms = timing.wanted(clock, agreed)
    armed = {timer.alarm for timer in loaded.timers}
    place = trace or current_trace()
    return store.Changed(
        loaded.clock,
        clock,
        arm=[
            store.Timer(new_id(), clock.ticket_id, alarm, at, place)
            for alarm in sorted(alarms - armed, key=lambda alarm: alarm.due_at)
        ],
        disarm=[timer.id for timer in loaded.timers if timer.alarm not in alarms],
    )
