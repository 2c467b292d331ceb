"""From sums to what people ask: volume, efficiency, agents and issues."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from uuid import UUID

from waybill_intake.domain.statistics import BOUNDS, FLOW, KINDS

DIGITS = 4
"""How many digits of a share, an average or a slope are told."""

_TOP_TAGS, _TOP = 50, 10
_LEAST = 3
"""How many tickets an issue needs to stand in a ranking."""

Sums = Mapping[str, int]


def named(kind: str, values: Sequence[int] | None) -> dict[str, int]:
    """The numbers of a kind by their names; all 0 where there are none."""
    names = KINDS[kind]
    return dict(zip(names, values or [0] * len(names), strict=True))


def share(part: int, of: int) -> float | None:
    """A part of a whole; None of nothing."""
    return round(part / of, DIGITS) if of else None


def moment(at: int) -> datetime:
    """Seconds since 1970 as a moment."""
    return datetime.fromtimestamp(at, UTC)


@dataclass(frozen=True, slots=True)
class Part:
    """What happened in an interval; the backlog is that at its end."""

    start: datetime
    end: datetime
    opened: int
    resolved: int
    closed: int
    reopened: int
    backlog: int


@dataclass(frozen=True, slots=True)
class States:
    """How many tickets stand where, as of now."""

    tickets: int
    pending: int
    in_progress: int
    awaiting_user: int
    resolved: int
    closed: int


@dataclass(frozen=True, slots=True)
class Trend:
    """By how much an interval differs from the one before, as a straight line through whole ones.

    Null with fewer than two whole intervals.
    """

    opened_per_interval: float | None
    backlog_per_interval: float | None


@dataclass(frozen=True, slots=True)
class Volume:
    """How much there is to do."""

    total: int
    resolved: int
    closed: int
    reopened: int
    backlog: int
    of_period: States
    now: States
    trend: Trend
    intervals: list[Part]


def volume(
    marks: Sequence[int],
    flows: Mapping[int, Sequence[int]],
    of_period: Sequence[int] | None,
    now: Sequence[int] | None,
    whole: Sequence[bool],
) -> Volume:
    """Volume from the flows of the intervals between `marks`; part 0 is all that was before.

    `whole` says which of the intervals are over and not cut off.
    """
    backlog = _growth(named(FLOW, flows.get(0)))
    parts, total = [], dict.fromkeys(KINDS[FLOW], 0)
    for index, (start, end) in enumerate(pairwise(marks)):
        flow = named(FLOW, flows.get(index + 1))
        backlog += _growth(flow)
        total = {name: total[name] + flow[name] for name in total}
        parts.append(
            Part(
                moment(start),
                moment(end),
                flow["opened"],
                flow["resolved"],
                flow["closed"],
                flow["reopened"],
                backlog,
            )
        )
    counted = [part for part, is_whole in zip(parts, whole, strict=True) if is_whole]
    return Volume(
        total["opened"],
        total["resolved"],
        total["closed"],
        total["reopened"],
        backlog,
        States(**named("state", of_period)),
        States(**named("state", now)),
        Trend(
            slope([part.opened for part in counted]),
            slope([part.backlog for part in counted]),
        ),
        parts,
    )


def _growth(flow: Sums) -> int:
    return flow["opened"] - flow["left"] + flow["back"]


def slope(values: Sequence[int]) -> float | None:
    """The slope of the least-squares line through equally spaced values."""
    n = len(values)
    if n < 2:
        return None
    # Twice the distance from the middle, so that all but the last step is in whole numbers.
    distances = [2 * index - (n - 1) for index in range(n)]
    above = sum(d * value for d, value in zip(distances, values, strict=True))
    return round(2 * above / sum(d * d for d in distances), DIGITS)


@dataclass(frozen=True, slots=True)
class Speed:
    """How long something took, in seconds; null where it never happened."""

    count: int
    average_seconds: int | None
    median_seconds: int | None
    p90_seconds: int | None


def speed(histogram: Mapping[str, Sequence[int]]) -> Speed:
    """Average from exact sums; quantiles from the histogram, the middle of their class."""
    count = sum(values[0] for values in histogram.values())
    seconds = sum(values[1] for values in histogram.values())
    classes = sorted((int(key), values[0]) for key, values in histogram.items())
    return Speed(
        count,
        seconds // count if count else None,
        _quantile(classes, count, 50),
        _quantile(classes, count, 90),
    )


def _quantile(classes: Sequence[tuple[int, int]], count: int, percent: int) -> int | None:
    rank, seen = -(-count * percent // 100), 0
    for index, n in classes:
        seen += n
        if seen >= rank and n:
            last = index + 1 == len(BOUNDS)
            return BOUNDS[index] if last else (BOUNDS[index] + BOUNDS[index + 1] - 1) // 2
    return None


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Targets that were due and decided, and how many of them were breached."""

    due: int
    breached: int
    rate: float | None


@dataclass(frozen=True, slots=True)
class TimeoutPart:
    """The targets that were due in an interval."""

    start: datetime
    end: datetime
    response: Timeouts
    resolution: Timeouts


@dataclass(frozen=True, slots=True)
class Efficiency:
    """How well the work gets done."""

    opened: int
    resolved: int
    resolution_rate: float | None
    ever_resolved: int
    reopened: int
    reopen_rate: float | None
    first_response: Speed
    resolution: Speed
    timeout_rate: float | None
    response_timeouts: Timeouts
    resolution_timeouts: Timeouts
    intervals: list[TimeoutPart]


def efficiency(
    marks: Sequence[int],
    flows: Mapping[int, Sequence[int]],
    care: Sequence[int] | None,
    response: Mapping[str, Sequence[int]],
    resolution: Mapping[str, Sequence[int]],
) -> Efficiency:
    """Efficiency from the sums; the flows by interval."""
    cared = named("care", care)
    parts = [named(FLOW, flows.get(index)) for index in range(len(marks) - 1)]
    all_in_all = {name: sum(part[name] for part in parts) for name in KINDS[FLOW]}
    first, second = _timeouts(all_in_all, "response"), _timeouts(all_in_all, "resolution")
    return Efficiency(
        opened=cared["tickets"],
        resolved=cared["solved"],
        resolution_rate=share(cared["solved"], cared["tickets"]),
        ever_resolved=cared["ever_resolved"],
        reopened=cared["reopened"],
        reopen_rate=share(cared["reopened"], cared["ever_resolved"]),
        first_response=speed(response),
        resolution=speed(resolution),
        timeout_rate=share(first.breached + second.breached, first.due + second.due),
        response_timeouts=first,
        resolution_timeouts=second,
        intervals=[
            TimeoutPart(
                moment(start),
                moment(end),
                _timeouts(part, "response"),
                _timeouts(part, "resolution"),
            )
            for (start, end), part in zip(pairwise(marks), parts, strict=True)
        ],
    )


def _timeouts(flow: Sums, kind: str) -> Timeouts:
    due, breached = flow[f"due_{kind}"], flow[f"breached_{kind}"]
    return Timeouts(due, breached, share(breached, due))


@dataclass(frozen=True, slots=True)
class AgentNumbers:
    """What an agent did with the tickets that were opened in the period."""

    agent: str
    name: str
    handled: int
    resolved: int
    resolution_rate: float | None
    ratings: int
    average_rating: float | None
    first_responses: int
    average_response_seconds: int | None


def agents(sums: Mapping[str, Sequence[int]], names: Mapping[str, str]) -> list[AgentNumbers]:
    """Each agent, the one with the most tickets first."""
    found = []
    for agent, values in sums.items():
        n = named("agent", values)
        if not n["handled"]:
            continue
        answered = n["responses"]
        found.append(
            AgentNumbers(
                agent,
                names.get(agent, agent),
                n["handled"],
                n["resolved"],
                share(n["resolved"], n["handled"]),
                n["rated"],
                share(n["score"], n["rated"]),
                answered,
                n["seconds"] // answered if answered else None,
            )
        )
    return sorted(found, key=lambda one: (-one.handled, one.agent))


@dataclass(frozen=True, slots=True)
class Issue:
    """What is known of the tickets of a type, a tag or a cluster."""

    name: str
    tickets: int
    share: float | None
    resolved: int
    average_resolution_seconds: int | None
    reopened: int
    reopen_rate: float | None
    escalated: int
    escalation_rate: float | None
    knowledge_asked: int
    knowledge_unanswered: int


@dataclass(frozen=True, slots=True)
class Cluster:
    """Tickets that are like an older one: how many came after it."""

    ticket_id: UUID
    number: str
    title: str
    repeats: int
    reopened: int
    escalated: int
    average_resolution_seconds: int | None


@dataclass(frozen=True, slots=True)
class Ranked:
    """A type or tag in a ranking, and the number that puts it there."""

    kind: str
    name: str
    value: float
    tickets: int


@dataclass(frozen=True, slots=True)
class Issues:
    """What people have trouble with."""

    total: int
    types: list[Issue]
    tags: list[Issue]
    clusters: list[Cluster] = field(default_factory=list)
    hardest: list[Ranked] = field(default_factory=list)
    most_reopened: list[Ranked] = field(default_factory=list)
    most_escalated: list[Ranked] = field(default_factory=list)
    unanswered: list[Ranked] = field(default_factory=list)


def issue(name: str, n: Sums, total: int) -> Issue:
    """One type or tag."""
    return Issue(
        name,
        n["tickets"],
        share(n["tickets"], total),
        n["solved"],
        n["seconds"] // n["solved"] if n["solved"] else None,
        n["reopened"],
        share(n["reopened"], n["tickets"]),
        n["escalated"],
        share(n["escalated"], n["tickets"]),
        n["asked"],
        n["unanswered"],
    )


def issues(
    care: Mapping[str, Sequence[int]],
    tags: Mapping[str, Sequence[int]],
    clusters: Sequence[Cluster],
) -> Issues:
    """Issues from the sums by type and by tag."""
    types = {name: named("care", values) for name, values in care.items()}
    total = sum(n["tickets"] for n in types.values())
    by_type = [issue(name, n, total) for name, n in types.items() if n["tickets"]]
    by_tag = [issue(name, named("tag", values), total) for name, values in tags.items()]
    by_type.sort(key=lambda one: (-one.tickets, one.name))
    by_tag = sorted(
        (one for one in by_tag if one.tickets), key=lambda one: (-one.tickets, one.name)
    )
    ranked = [("type", one) for one in by_type] + [("tag", one) for one in by_tag]
    return Issues(
        total,
        by_type,
        by_tag[:_TOP_TAGS],
        list(clusters),
        _rank([(k, o, o.average_resolution_seconds, o.resolved) for k, o in ranked]),
        _rank([(k, o, o.reopen_rate, o.tickets) for k, o in ranked]),
        _rank([(k, o, o.escalation_rate, o.tickets) for k, o in ranked]),
        _rank(
            [
                (k, o, share(o.knowledge_unanswered, o.knowledge_asked), o.knowledge_asked)
                for k, o in ranked
            ]
        ),
    )


def _rank(found: Sequence[tuple[str, Issue, float | None, int]]) -> list[Ranked]:
    ranked = [
        Ranked(kind, one.name, value, of)
        for kind, one, value, of in found
        if value and of >= _LEAST
    ]
    return sorted(ranked, key=lambda one: (-one.value, one.kind, one.name))[:_TOP]
