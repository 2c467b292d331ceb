"""Past tickets lived through once more: what is known of each, by what is agreed and a proposal.

The facts are heard when they happened and the timers go off in between, all by the code that does
so in life.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from waybill_sla.domain import facts, timing
from waybill_sla.domain.clock import Clock, Outcome, Target
from waybill_sla.domain.policy import Agreement
from waybill_sla.domain.targets import Hearing
from waybill_sla.domain.telling import TicketEscalated
from waybill_sla.domain.ticket import Repetition, SourceEvent, Ticket, Wait
from waybill_sla.domain.words import FollowUp, Priority, Status, TargetKind, TargetState

LISTED = 100
"""So many tickets are named in each list of a tally."""

_LEARNT = (
    "product",
    "type",
    "priority",
    "status",
    "created_at",
    "status_since",
    "episode",
    "episode_since",
    "first_response_at",
    "resolved_at",
    "reopened_at",
    "reopenings",
    "tier",
    "tags",
    "last_public_at",
    "last_public_by",
)
"""What of a ticket decides about its clock. Who the submitter is does not."""

_NOBODY = UUID(int=0)
_KB = SourceEvent("", "", "")


@dataclass(frozen=True, slots=True)
class Learnt:
    """What was new of a ticket, and when it was so."""

    at: datetime
    what: Mapping[str, object]


def learnt(before: Clock, after: Clock) -> Mapping[str, object]:
    """What a fact has told that a replay needs, and that was not known before."""
    new: dict[str, object] = {}
    if after.ticket is not before.ticket and after.ticket is not None:
        for name in _LEARNT:
            value = getattr(after.ticket, name)
            if before.ticket is None or getattr(before.ticket, name) != value:
                new[name] = value
    if after.wait is not None and (
        before.wait is None or before.wait.unassigned_since != after.wait.unassigned_since
    ):
        new["unassigned_since"] = after.wait.unassigned_since
    if after.repetition is not None and after.repetition is not before.repetition:
        new["repeated"] = after.repetition.count
    return new


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that happened to a ticket."""

    at: datetime
    what: Ticket | Wait | Repetition


def history(clock: Clock, known: Sequence[Learnt]) -> tuple[list[Fact], bool]:
    """A ticket's life fact by fact, and whether that is all of it.

    Of one that was opened before what is learnt was kept, the ledger and the ticket's own times
    still tell the moves and the first response; that it had another priority for a while, they
    do not.
    """
    assert clock.ticket is not None
    exact = any("created_at" in one.what for one in known)
    found = list(_recorded(clock.ticket, known) if exact else _from_ledger(clock))
    return sorted(found, key=lambda fact: fact.at), exact


def _recorded(ticket: Ticket, known: Sequence[Learnt]) -> Iterator[Fact]:
    for number, one in enumerate(known, 1):
        what = dict(one.what)
        if "unassigned_since" in what:
            since = what.pop("unassigned_since")
            assert since is None or isinstance(since, datetime)
            yield Fact(one.at, Wait(since, number))
        if "repeated" in what:
            count = what.pop("repeated")
            assert isinstance(count, int)
            yield Fact(one.at, Repetition(count, _KB))
        if what:
            ticket = replace(ticket, sequence=number, **what)  # type: ignore[arg-type]
            yield Fact(one.at, ticket)


def _from_ledger(clock: Clock) -> Iterator[Fact]:
    last = clock.ticket
    assert last is not None
    ticket = replace(
        last,
        status=Status.PENDING,
        status_since=last.created_at,
        episode=1,
        episode_since=last.created_at,
        first_response_at=None,
        resolved_at=None,
        reopened_at=None,
        reopenings=0,
        last_public_at=None,
        last_public_by=None,
        sequence=1,
    )
    yield Fact(last.created_at, ticket)
    told: list[tuple[datetime, dict[str, object]]] = []
    if last.first_response_at is not None:
        told.append((last.first_response_at, {"first_response_at": last.first_response_at}))
    if last.last_public_at is not None:
        spoken: dict[str, object] = {
            "last_public_at": last.last_public_at,
            "last_public_by": last.last_public_by,
        }
        told.append((last.last_public_at, spoken))
    told += [
        (part.started_at, {"status": part.status, "status_since": part.started_at})
        for part in clock.segments[1:]
    ]
    for at, what in sorted(told, key=lambda one: one[0]):
        status = what.get("status")
        if status is Status.RESOLVED:
            what["resolved_at"] = at
        elif ticket.status is Status.RESOLVED and status not in (None, Status.CLOSED):
            what |= {"resolved_at": None, "reopened_at": at, "reopenings": ticket.reopenings + 1}
        ticket = replace(ticket, sequence=ticket.sequence + 1, **what)  # type: ignore[arg-type]
        yield Fact(at, ticket)


Key = tuple[TargetKind, datetime | None, int]
"""Which target, when its time began if not with the clock, and for which reopening."""

Rung = tuple[str, str, str]
"""The ladder, the rung on it and the level that it leads to."""


@dataclass(frozen=True, slots=True)
class Life:
    """What became of a ticket by one agreement."""

    policy: str
    targets: Mapping[Key, Target]
    escalations: Mapping[Rung, int]


def live(id: UUID, told: Iterable[Fact], agreed: Agreement, until: datetime) -> Life:
    """Hear the facts and let the timers go off, as far as `until`."""
    clock, climbed = Clock(id), Counter[Rung]()

    def take(outcome: Outcome) -> Clock:
        for telling in outcome.told:
            if isinstance(telling, TicketEscalated):
                ladder = _policy(outcome.clock, agreed)[1]
                climbed[ladder, telling.rung, telling.level.slug] += 1
        return outcome.clock

    for fact in told:
        if fact.at > until:
            break
        for outcome in _timers(clock, fact.at, agreed):
            clock = take(outcome)
        clock = take(_heard(clock, fact, agreed))
    for outcome in _timers(clock, until, agreed):
        clock = take(outcome)
    targets = {
        (one.kind, one.started_at, one.reopening): one for one in (*clock.past, *clock.targets)
    }
    return Life(_policy(clock, agreed)[0], targets, climbed)


def _policy(clock: Clock, agreed: Agreement) -> tuple[str, str]:
    policy = agreed.policies.of(clock.policy_id, clock.policy_version)
    return (policy.name, policy.ladder) if policy else ("", "")


def _heard(clock: Clock, fact: Fact, agreed: Agreement) -> Outcome:
    match fact.what:
        case Ticket() as ticket:
            hearing = Hearing(fact.at, "", fact.at, lambda: _NOBODY)
            return facts.hear_ticket(clock, ticket, hearing, agreed)
        case Wait() as wait:
            return facts.hear_wait(clock, wait)
        case Repetition() as repetition:
            return facts.hear_repetition(clock, repetition, agreed, fact.at)


def _timers(clock: Clock, until: datetime, agreed: Agreement) -> Iterator[Outcome]:
    """What comes due before `until`, one after the other; what is due then may yet be reached."""
    gone = set[timing.Alarm]()
    while alarms := [
        alarm
        for alarm in timing.wanted(clock, agreed)
        if alarm.due_at < until and not isinstance(alarm.kind, FollowUp) and alarm not in gone
    ]:
        first = min(alarms, key=lambda alarm: (alarm.due_at, alarm.share))
        gone.add(first)
        outcome = timing.fire(clock, first, agreed, first.due_at, _NOBODY)
        clock = outcome.clock
        yield outcome


@dataclass(slots=True)
class Score:
    """What became of the targets of a kind."""

    met: int = 0
    breached: int = 0
    cancelled: int = 0
    open: int = 0


@dataclass(slots=True)
class TargetScore:
    """The same targets by what is agreed and by the proposal."""

    target: TargetKind
    priority: Priority
    before: Score = field(default_factory=Score)
    after: Score = field(default_factory=Score)


@dataclass(slots=True)
class RungScore:
    """How often a rung has fired, likewise."""

    ladder: str
    rung: str
    level: str
    before: int = 0
    after: int = 0


@dataclass(frozen=True, slots=True)
class Case:
    """A ticket with one target that is breached by one side only."""

    ticket_id: UUID
    number: str
    priority: Priority
    target: TargetKind


@dataclass(frozen=True, slots=True)
class Move:
    """A ticket that would have another policy."""

    ticket_id: UUID
    number: str
    before: str
    after: str


@dataclass(slots=True)
class Cases:
    """How many there are, and the first of them."""

    count: int = 0
    first: list[Case] = field(default_factory=list)


@dataclass(slots=True)
class Moves:
    """How many there are, and the first of them."""

    count: int = 0
    first: list[Move] = field(default_factory=list)


@dataclass(slots=True)
class Tally:
    """What a simulation has found so far."""

    tickets: int = 0
    approximated: int = 0
    left_out: int = 0
    targets: list[TargetScore] = field(default_factory=list)
    escalations: list[RungScore] = field(default_factory=list)
    breaches_gained: Cases = field(default_factory=Cases)
    breaches_lost: Cases = field(default_factory=Cases)
    other_policy: Moves = field(default_factory=Moves)


def count(tally: Tally, ticket: Ticket, before: Life, after: Life) -> None:
    """Add a ticket that was lived through by both."""
    tally.tickets += 1
    for key in sorted(
        {*before.targets, *after.targets}, key=lambda key: (key[0], key[1] or ticket.created_at)
    ):
        kind, old, new = key[0], before.targets.get(key), after.targets.get(key)
        score = _score(tally, kind, ticket.priority)
        _add(score.before, old)
        _add(score.after, new)
        case = Case(ticket.id, ticket.number, ticket.priority, kind)
        if _breached(new) and not _breached(old):
            _list(tally.breaches_gained, case)
        if _breached(old) and not _breached(new):
            _list(tally.breaches_lost, case)
    for rung in sorted({*before.escalations, *after.escalations}):
        fired = _fired(tally, rung)
        fired.before += before.escalations.get(rung, 0)
        fired.after += after.escalations.get(rung, 0)
    if before.policy != after.policy:
        move = Move(ticket.id, ticket.number, before.policy, after.policy)
        tally.other_policy.count += 1
        if len(tally.other_policy.first) < LISTED:
            tally.other_policy.first.append(move)


def _score(tally: Tally, kind: TargetKind, priority: Priority) -> TargetScore:
    for score in tally.targets:
        if (score.target, score.priority) == (kind, priority):
            return score
    tally.targets.append(TargetScore(kind, priority))
    return tally.targets[-1]


def _fired(tally: Tally, rung: Rung) -> RungScore:
    for score in tally.escalations:
        if (score.ladder, score.rung, score.level) == rung:
            return score
    tally.escalations.append(RungScore(*rung))
    return tally.escalations[-1]


def _list(cases: Cases, case: Case) -> None:
    cases.count += 1
    if len(cases.first) < LISTED:
        cases.first.append(case)


def _breached(target: Target | None) -> bool:
    return target is not None and target.breached_at is not None


def _add(score: Score, target: Target | None) -> None:
    if target is None:
        return
    if _breached(target):
        score.breached += 1
    elif target.state is TargetState.MET:
        score.met += 1
    elif target.state is TargetState.CANCELLED:
        score.cancelled += 1
    else:
        score.open += 1
