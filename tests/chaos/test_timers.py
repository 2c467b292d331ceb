"""Every deadline is told once, never early, whatever befalls sla's replicas and their servers.

One run, looked at promise by promise: tickets live at random while replicas are killed, frozen and
restarted, their clocks moved, and broker and database killed. A plain model (`lives`) says what
must have been told of each ticket. WAYBILL_CHAOS_SECONDS says for how long tickets are opened (12
unless set), WAYBILL_CHAOS_SEED repeats the choices of a run.
"""

import asyncio
import os
import random
import secrets
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg
import pytest
from waybill.common.v1 import ticket_enums_pb2 as words
from waybill.sla.v1.clock_pb2 import CLOCK_STATE_STOPPED
from waybill_chassis.events import events_topic
from waybill_chassis.progress import StreamProgress

from .facts import Told, last, moment, read
from .fleet import KINDS, Fault, Fleet, Torment, running_fleet
from .lives import ALLOWED, LIVES, LONGEST_SECONDS, RESOLUTION, RESPONSE, Life, Load
from .reckoning import reckoned

SECONDS = float(os.environ.get("WAYBILL_CHAOS_SECONDS") or 12)
SEED = int(os.environ.get("WAYBILL_CHAOS_SEED") or secrets.randbelow(10**6))
RATE = 8.0
"""Tickets a second."""
REPLICAS = ["sla-1", "sla-2", "sla-3"]
SETTLE_SECONDS = 120.0

pytestmark = pytest.mark.timeout(900 + 3 * SECONDS)

MILLISECOND = timedelta(milliseconds=1)
"""The broker keeps its times no finer."""

Key = tuple[str, int]
"""A ticket, and a target of it."""


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What was lived, what befell the fleet, and what was told, now that it is quiet."""

    lives: dict[str, Life]
    faults: list[Fault]
    records: list[Told]
    """As they stand in the topic, repeated ones too."""

    def named(self, name: str) -> list[Told]:
        """The events of a type as a reader takes them: each once, in the order of their numbers."""
        found = {told.id: told for told in self.records if told.name == name}
        return sorted(found.values(), key=lambda told: told.sequence or 0)

    def by_target(self, name: str) -> dict[Key, list[Told]]:
        """The same by what they are about."""
        found: dict[Key, list[Told]] = defaultdict(list)
        for told in self.named(name):
            found[told.subject, told.message.kind].append(told)
        return found

    def targets(self) -> Iterator[tuple[Life, int, str]]:
        """All targets, with words for each."""
        for life in self.lives.values():
            for kind in (RESPONSE, RESOLUTION):
                yield life, kind, f"{words.TargetKind.Name(kind)} of {life}"


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    """What is there after the run, everything up again and settled."""
    told = {
        "WAYBILL_SLA_REMINDER_1": "PT3S",
        "WAYBILL_SLA_REMINDER_2": "PT5S",
        "WAYBILL_SLA_AUTO_CLOSE_AWAITING": "PT7S",
    }
    with running_fleet(tmp_path_factory.mktemp("timers"), REPLICAS, **told) as fleet:
        yield asyncio.run(_run(fleet))


async def _run(fleet: Fleet) -> Aftermath:
    await asyncio.to_thread(_agree, fleet)
    load = Load(fleet.kafka, random.Random(SEED), RATE)
    torment = Torment(fleet, random.Random(SEED))
    _say(f"seed {SEED}")
    began = datetime.now(UTC)
    try:
        await asyncio.gather(load.run(SECONDS), torment.run(SECONDS + LONGEST_SECONDS / 2))
        await _settled(fleet)
    finally:
        for fault in torment.done:
            _say(f"{(fault.began - began).total_seconds():6.1f} s  {fault}")
    records = await read(fleet.kafka, events_topic("sla"))
    heard = await read(fleet.kafka, events_topic("intake"))
    lives = {life.id: life for life in load.lives}
    _say(*reckoned(lives, torment.done, records, heard))
    return Aftermath(lives, torment.done, records)


def _agree(fleet: Fleet) -> None:
    """A policy with deadlines that are seconds away."""
    seconds = {
        priority: {"response": f"PT{allowed[RESPONSE]}S", "resolution": f"PT{allowed[RESOLUTION]}S"}
        for priority, allowed in ALLOWED.items()
    }
    targets = dict.fromkeys(("urgent", "high"), seconds["medium"]) | seconds
    body = {"name": "hurried", "selector": {"product": "demo"}, "targets": targets}
    made = fleet.ask("POST", "/v1/sla/policies", body)
    assert made.status_code == 201, made.text


async def _settled(fleet: Fleet) -> None:
    """Wait until nothing is on its way any more; fails, saying what still is."""
    progress = StreamProgress(fleet.kafka, events_topic("intake"), "waybill-sla")
    waiting = "events that nobody has heard"
    try:
        async with asyncio.timeout(SETTLE_SECONDS):
            mark = await progress.mark()
            while not await progress.reached(mark):
                await asyncio.sleep(0.2)
            while waiting := await _waiting(fleet):
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise AssertionError(f"not settled after {SETTLE_SECONDS:.0f} s: {waiting}") from None
    finally:
        await progress.stop()


async def _waiting(fleet: Fleet) -> str:
    connection = await asyncpg.connect(fleet.database_url)
    try:
        timers = await connection.fetchval(
            "SELECT count(*) FROM timers WHERE due_at < now() + interval '1 minute'"
        )
        events = await connection.fetchval("SELECT count(*) FROM outbox")
    finally:
        await connection.close()
    return f"{timers} timers, {events} events in the outbox" if timers or events else ""


def _say(*lines: str) -> None:
    """For whoever reads the output of a failed run, or looks on with -s."""
    for line in lines:
        print(line, file=sys.stderr)


def more_than_once(things: Iterable[object]) -> list[object]:
    return [thing for thing, count in Counter(things).items() if count > 1]


def test_everything_befell_the_fleet_and_each_kind_of_life_was_lived(aftermath: Aftermath) -> None:
    """What follows was looked at under all faults, and for all kinds of tickets."""
    assert {fault.what for fault in aftermath.faults} == set(KINDS)
    assert {life.kind for life in aftermath.lives.values()} == set(LIVES)


def test_no_deadline_is_told_early(aftermath: Aftermath) -> None:
    """Nothing stands in the topic before it was due, not even by a replica whose clock is wrong."""
    for told in aftermath.records:
        assert told.appended_at + MILLISECOND > told.time, f"early: {told}"
    for told in aftermath.named("TargetBreached"):
        assert moment(told.message.detected_at) >= told.time >= moment(told.message.due_at), told


def test_every_breach_is_told_once(aftermath: Aftermath) -> None:
    """None is missed and none doubled, its time is the deadline, and what was none is taken back.

    Once, by the breach's own id, when an answer in time was heard too late. A reopened ticket that
    has no time left is breached anew.
    """
    taken_back = Counter(e.message.breach_event_id for e in aftermath.named("BreachRetracted"))
    told = aftermath.by_target("TargetBreached")
    for life, kind, name in aftermath.targets():
        stands = [event.time for event in told[life.id, kind] if event.id not in taken_back]
        assert stands in life.may_be_told(kind), f"{name}: {stands}"
    assert set(taken_back.values()) <= {1}
    assert taken_back.keys() <= {event.id for event in aftermath.named("TargetBreached")}
    keys = [(e.subject, e.message.kind, e.time) for e in aftermath.named("TargetBreached")]
    assert not more_than_once(keys)


def test_every_target_that_was_reached_is_told_once(aftermath: Aftermath) -> None:
    """With the moment, and whether that was too late."""
    told = aftermath.by_target("TargetMet")
    for life, kind, name in aftermath.targets():
        found = [(moment(e.message.met_at), e.message.late) for e in told[life.id, kind]]
        assert found == life.met(kind), name


def test_every_warning_is_given_once(aftermath: Aftermath) -> None:
    """After a stop only the highest share that has passed is told, and always before a breach."""
    warned = aftermath.named("TargetAtRisk")
    keys = [(e.subject, e.message.kind, e.message.share, e.time) for e in warned]
    assert not more_than_once(keys)
    told, breaches = aftermath.by_target("TargetAtRisk"), aftermath.by_target("TargetBreached")
    for life, kind, name in aftermath.targets():
        found = told[life.id, kind]
        for event in found:
            true = life.when(life.allowed(kind) * event.message.share)
            assert life.moved or event.time == true, f"{name}: {event}"
        if life.ends(kind) is None or life.breaches(kind):
            passed = max(life.warnings(kind), default=0.0)
            assert max((e.message.share for e in found), default=0.0) >= passed, f"{name}: {found}"
        for breach in breaches[life.id, kind]:
            before = [e.message.share for e in found if (e.sequence or 0) < (breach.sequence or 0)]
            assert before[-1:] == [0.9], f"{name}: {before} before {breach}"


def test_every_follow_up_comes_due_once(aftermath: Aftermath) -> None:
    """Nobody answers: each comes once, at its time; nobody else is followed up but by mistake."""
    told: dict[str, list[Told]] = defaultdict(list)
    for event in aftermath.named("FollowUpDue"):
        told[event.subject].append(event)
    for life in aftermath.lives.values():
        found = {e.message.kind: e.time for e in told[life.id]}
        assert len(found) == len(told[life.id]), f"{life}: {told[life.id]}"
        if life.follow_ups():
            assert found == life.follow_ups(), life


def test_each_rung_fires_once_and_levels_only_rise(aftermath: Aftermath) -> None:
    """Whichever replica fires it."""
    told: dict[str, list[Told]] = defaultdict(list)
    for event in aftermath.named("TicketEscalated"):
        told[event.subject].append(event)
    for life in aftermath.lives.values():
        levels = [event.message.level for event in told[life.id]]
        if not life.kind.startswith("reopened"):
            assert levels == sorted(set(levels)), life
        if life.breaches(RESOLUTION):
            assert levels[-1] == words.ESCALATION_LEVEL_TECH_TEAM, life


def test_events_are_told_in_order_and_repeated_only_under_their_id(aftermath: Aftermath) -> None:
    """A relay that died repeats; it never skips, and never goes back."""
    by_subject: dict[str, dict[str, Told]] = defaultdict(dict)
    for told in aftermath.records:
        by_subject[told.subject].setdefault(told.id, told)
    assert by_subject.keys() == aftermath.lives.keys()
    for subject, first in by_subject.items():
        sequences = [told.sequence for told in first.values()]
        assert sequences == list(range(1, len(first) + 1)), subject


def test_every_clock_ends_as_the_ticket_was_lived(aftermath: Aftermath) -> None:
    """The last event of each carries the state of its targets."""
    final = last(aftermath.records)
    for life, kind, name in aftermath.targets():
        clock = final[life.id].message.clock
        states = {target.kind: target.state for target in clock.targets}
        assert states[kind] == life.state(kind), f"{name}: {final[life.id]}"
        assert (clock.state == CLOCK_STATE_STOPPED) == (life.spans[-1][1] == "closed"), name
