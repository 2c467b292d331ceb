"""Lives of tickets, how intake tells them, and a plain model of what sla must say of each."""

import asyncio
import heapq
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

from aiokafka import AIOKafkaProducer
from google.protobuf.message import Message
from waybill.common.v1 import ticket_enums_pb2 as words
from waybill.common.v1.actor_pb2 import ACTOR_KIND_AGENT, Actor
from waybill.intake.v1 import events_pb2 as intake
from waybill.intake.v1.ticket_pb2 import MESSAGE_KIND_REPLY, Ticket
from waybill_chassis.events import events_topic
from waybill_chassis.ids import new_id
from waybill_chassis.testing.producing import event_of

RESPONSE, RESOLUTION = words.TARGET_KIND_RESPONSE, words.TARGET_KIND_RESOLUTION
SHARES = (0.5, 0.75, 0.9)
ALLOWED: dict[str, dict[int, int]] = {
    "medium": {RESPONSE: 4, RESOLUTION: 10},
    "low": {RESPONSE: 6, RESOLUTION: 15},
}
"""Seconds, by priority and target."""
FOLLOW_UPS: dict[int, float] = {
    words.FOLLOW_UP_KIND_REMINDER_1: 3.0,
    words.FOLLOW_UP_KIND_REMINDER_2: 5.0,
    words.FOLLOW_UP_KIND_AUTO_CLOSE_AWAITING: 7.0,
}
"""Seconds after the question that nobody answers."""
LONGEST_SECONDS = 22.0
"""So long after its opening nothing more happens to a ticket, nor comes due."""

AGENT = Actor(kind=ACTOR_KIND_AGENT, id="ana@example.com", name="Ana", email="ana@example.com")
_PUBLISHED_TWICE = 0.1


@dataclass(frozen=True, slots=True)
class Step:
    """What happens so many seconds after the opening, and how much later intake tells it."""

    after: float
    what: str
    told_after: float = 0.0


Plan = Callable[[random.Random], list[Step]]


def _told_late(chance: random.Random) -> list[Step]:
    return [Step(chance.uniform(2.0, 3.9), "reply", chance.uniform(1.0, 5.0))]


def _solved_told_late(chance: random.Random) -> list[Step]:
    return [
        Step(1.0, "reply"),
        Step(chance.uniform(7.0, 9.9), "resolved", chance.uniform(2.0, 5.0)),
    ]


def _solved(chance: random.Random) -> list[Step]:
    at = chance.uniform(4.0, 8.0)
    return [Step(chance.uniform(0.5, 2.0), "reply"), Step(at, "resolved"), Step(at + 1.0, "closed")]


def _asked(chance: random.Random) -> list[Step]:
    at = chance.uniform(1.5, 4.0)
    answered = at + chance.uniform(1.0, 2.5)
    return [Step(1.0, "reply"), Step(at, "awaiting_user"), Step(answered, "in_progress")]


def _asked_told_late(chance: random.Random) -> list[Step]:
    at = chance.uniform(7.0, 9.0)
    asked = Step(at, "awaiting_user", chance.uniform(2.0, 4.0))
    return [Step(1.0, "reply"), asked, Step(at + 2.5, "in_progress", 2.0)]


def _reopened(chance: random.Random) -> list[Step]:
    at = chance.uniform(3.0, 6.0)
    again = at + chance.uniform(1.0, 3.0)
    return [Step(1.0, "reply"), Step(at, "resolved"), Step(again, "in_progress")]


def _reopened_late(chance: random.Random) -> list[Step]:
    at = chance.uniform(10.3, 12.0)
    again = at + chance.uniform(0.5, 2.0)
    return [Step(1.0, "reply"), Step(at, "resolved"), Step(again, "in_progress")]


LIVES: dict[str, Plan] = {
    "forgotten": lambda _: [],
    "answered": lambda chance: [Step(chance.uniform(0.5, 3.0), "reply")],
    "answered, told late": _told_late,
    "answered too late": lambda chance: [Step(chance.uniform(4.3, 7.0), "reply")],
    "solved": _solved,
    "solved, told late": _solved_told_late,
    "asked": _asked,
    "asked, told late": _asked_told_late,
    "left": lambda chance: [Step(1.0, "reply"), Step(chance.uniform(1.5, 3.0), "awaiting_user")],
    "closed": lambda chance: [Step(chance.uniform(1.0, 3.0), "closed")],
    "reopened": _reopened,
    "reopened after its breach": _reopened_late,
    "raised": lambda chance: [Step(chance.uniform(0.5, 1.5), "raised")],
}


@dataclass(slots=True)
class Life:
    """A ticket's life, as it truly happened."""

    kind: str
    opened_at: datetime
    id: str = field(default_factory=lambda: str(new_id()))
    spans: list[tuple[datetime, str]] = field(default_factory=list)
    """Since when it has had which status."""
    answered_at: datetime | None = None
    priority: str = "medium"
    before: str | None = None
    """Which priority it had before it was raised."""

    def __str__(self) -> str:
        """Which it is."""
        return f"{self.id} ({self.kind})"

    def passed(self, at: datetime) -> timedelta:
        """How long its clock had run at a moment."""
        ends = [since for since, _ in self.spans[1:]] + [at]
        return sum(
            (
                max(min(end, at) - since, timedelta(0))
                for (since, status), end in zip(self.spans, ends, strict=True)
                if status in ("pending", "in_progress")
            ),
            timedelta(0),
        )

    def when(self, passed: timedelta) -> datetime | None:
        """The moment at which its clock had run for so long; None if that never comes."""
        ends: list[datetime | None] = [*(since for since, _ in self.spans[1:]), None]
        for (since, status), end in zip(self.spans, ends, strict=True):
            if status not in ("pending", "in_progress"):
                continue
            if end is None or end - since >= passed:
                return since + passed
            passed -= end - since
        return None

    def allowed(self, kind: int) -> timedelta:
        """How much time a target gives."""
        return timedelta(seconds=ALLOWED[self.priority][kind])

    def ends(self, kind: int) -> datetime | None:
        """When a target was reached or ceased to count; None while it counts."""
        gone = [since for since, status in self.spans if status in ("resolved", "closed")]
        if kind == RESPONSE:
            return min([*gone[:1], *([self.answered_at] if self.answered_at else [])], default=None)
        if self.spans[-1][1] not in ("resolved", "closed"):
            return None
        return gone[0]

    def breaches(self, kind: int) -> list[datetime]:
        """When a target's time was up while it counted; once more after each reopening."""
        due, found = self.when(self.allowed(kind)), list[datetime]()
        for since, until in self._counted(kind):
            if due is not None and (until is None or due < until):
                found.append(max(due, since))
        return found

    def _counted(self, kind: int) -> list[tuple[datetime, datetime | None]]:
        """From when until when a target counted, for each time that the ticket was open."""
        if kind == RESPONSE:
            return [(self.opened_at, self.ends(kind))]
        found: list[tuple[datetime, datetime | None]] = [(self.opened_at, None)]
        for since, status in self.spans:
            if status in ("resolved", "closed") and found[-1][1] is None:
                found[-1] = found[-1][0], since
            elif status == "in_progress" and found[-1][1] is not None:
                found.append((since, None))
        return found

    def may_be_told(self, kind: int) -> list[list[datetime]]:
        """The deadlines with which breaches may stand.

        What was breached before anybody heard that it was raised stays as it was told.
        """
        found = [self.breaches(kind)]
        if self.before is not None:
            found.append([self.opened_at + timedelta(seconds=ALLOWED[self.before][kind])])
        return found

    @property
    def moved(self) -> bool:
        """Whether something moved its deadlines, that somebody may hear of too late."""
        return self.before is not None or len(self.spans) > 1

    def met(self, kind: int) -> list[tuple[datetime, bool]]:
        """When a target was reached, and whether that was late."""
        if kind == RESPONSE:
            reached = [self.answered_at] if self.answered_at else []
        else:
            reached = [since for since, status in self.spans if status == "resolved"]
        return [(at, self.passed(at) > self.allowed(kind)) for at in reached]

    def warnings(self, kind: int) -> dict[float, datetime]:
        """When each share of a target was used up, if it still counted then."""
        end = self.ends(kind)
        found = {}
        for share in SHARES:
            at = self.when(self.allowed(kind) * share)
            if at is not None and (end is None or at <= end):
                found[share] = at
        return found

    def follow_ups(self) -> dict[int, datetime]:
        """When nobody had answered for how long."""
        since, status = self.spans[-1]
        if status != "awaiting_user":
            return {}
        return {kind: since + timedelta(seconds=s) for kind, s in FOLLOW_UPS.items()}

    def state(self, kind: int) -> int:
        """How a target stands in the end."""
        if self.breaches(kind):
            return words.TARGET_STATE_BREACHED
        if self.ends(kind) is None:
            return words.TARGET_STATE_PAUSED
        is_met = any(at == self.ends(kind) for at, _ in self.met(kind))
        return words.TARGET_STATE_MET if is_met else words.TARGET_STATE_CANCELLED


@dataclass(frozen=True, slots=True)
class Record:
    """What is published, when, and how often."""

    at: datetime
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]
    times: int


def live(kind: str, opened_at: datetime, chance: random.Random) -> tuple[Life, list[Record]]:
    """A life of this kind, and what intake tells of it."""
    life = Life(kind, opened_at, priority="low" if kind == "raised" else "medium")
    life.spans = [(opened_at, "pending")]
    opened = _opened(life)
    events: list[tuple[datetime, float, Any]] = [(opened_at, 0.0, opened)]
    ticket = opened.ticket
    for step in LIVES[kind](chance):
        at = opened_at + timedelta(seconds=step.after)
        events.append((at, step.told_after, _stepped(life, ticket, step.what, at)))
        ticket = events[-1][2].ticket
    records, earliest = [], opened_at
    for sequence, (at, later, message) in enumerate(events, 1):
        earliest = max(earliest, at + timedelta(seconds=later))
        value, headers = event_of(
            message, subject=life.id, source="/waybill/intake", sequence=sequence, time=at
        )
        times = 2 if chance.random() < _PUBLISHED_TWICE else 1
        records.append(Record(earliest, life.id.encode(), value, headers, times))
    return life, records


def _opened(life: Life) -> intake.TicketOpened:
    ticket = Ticket(
        id=life.id,
        number=f"WB-{life.id[-8:]}",
        product="demo",
        type=words.TICKET_TYPE_TECHNICAL,
        priority=words.Priority.Value(f"PRIORITY_{life.priority.upper()}"),
        status=words.STATUS_PENDING,
        episode=1,
        version=1,
    )
    for moment in (ticket.created_at, ticket.status_since, ticket.episode_since):
        moment.FromDatetime(life.opened_at)
    return intake.TicketOpened(ticket=ticket, actor=AGENT)


def _stepped(life: Life, before: Ticket, what: str, at: datetime) -> Message:
    ticket = Ticket()
    ticket.CopyFrom(before)
    ticket.version += 1
    if what == "raised":
        life.before, life.priority = life.priority, "medium"
        ticket.priority = words.PRIORITY_MEDIUM
        return intake.TicketEdited(ticket=ticket, actor=AGENT)
    ticket.episode += 1
    ticket.episode_since.FromDatetime(at)
    if what == "reply":
        life.answered_at = at
        ticket.first_response_at.FromDatetime(at)
        posted = intake.MessagePosted(ticket=ticket, actor=AGENT)
        posted.message.kind, posted.message.first_response = MESSAGE_KIND_REPLY, True
        return posted
    was = ticket.status
    life.spans.append((at, what))
    ticket.status = words.Status.Value(f"STATUS_{what.upper()}")
    ticket.status_since.FromDatetime(at)
    if what == "resolved":
        ticket.resolved_at.FromDatetime(at)
    elif what == "closed":
        ticket.closed_at.FromDatetime(at)
    elif was == words.STATUS_RESOLVED:
        ticket.ClearField("resolved_at")
        ticket.reopened_at.FromDatetime(at)
        ticket.reopenings += 1
    moved: dict[str, Any] = {"from": was, "to": ticket.status}
    return intake.TicketStatusChanged(ticket=ticket, actor=AGENT, **moved)


@dataclass(slots=True)
class Load:
    """Opens tickets at random moments, lets each live its life, and remembers how it was."""

    bootstrap: str
    chance: random.Random
    rate: float
    lives: list[Life] = field(default_factory=list)

    async def run(self, seconds: float) -> None:
        """Open tickets for so long; returns when all has been told."""
        waiting = list(self._plan(datetime.now(UTC) + timedelta(seconds=0.5), seconds))
        heapq.heapify(waiting)
        producer = AIOKafkaProducer(
            bootstrap_servers=self.bootstrap,
            enable_idempotence=True,
            acks="all",
            # Longer than a broker is ever away: what is told is told in its order.
            request_timeout_ms=120_000,
        )
        await producer.start()
        try:
            sent: list[asyncio.Future[Any]] = []
            while waiting:
                _, _, record = heapq.heappop(waiting)
                early = (record.at - datetime.now(UTC)).total_seconds()
                if early > 0:
                    await asyncio.sleep(early)
                sent += [await _send(producer, record) for _ in range(record.times)]
            await asyncio.gather(*sent)
        finally:
            await producer.stop()

    def _plan(self, begin: datetime, seconds: float) -> Iterator[tuple[datetime, int, Record]]:
        number, at = count(), 0.0
        kinds = list(LIVES)
        while (at := at + self.chance.expovariate(self.rate)) < seconds:
            # All kinds come equally often, however short the run.
            kind = kinds[len(self.lives) % len(kinds)]
            life, records = live(kind, begin + timedelta(seconds=at), self.chance)
            self.lives.append(life)
            for record in records:
                yield record.at, next(number), record


async def _send(producer: AIOKafkaProducer, record: Record) -> "asyncio.Future[Any]":
    sent: asyncio.Future[Any] = await producer.send(
        events_topic("intake"), value=record.value, key=record.key, headers=record.headers
    )
    return sent
