"""Statistics as people ask for them: which sums are read, and what is made of them."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection
from waybill_chassis.periods import Interval, Period, divide, whole_ones

from waybill_intake.domain.statistics import (
    AGENT,
    CARE,
    CLUSTER,
    FLOW,
    RATING,
    RESOLUTION,
    RESPONSE,
    STATE,
    TAG,
)
from waybill_intake.domain.statistics_answers import (
    AgentNumbers,
    Cluster,
    Efficiency,
    Issues,
    Volume,
    agents,
    efficiency,
    issues,
    named,
    volume,
)
from waybill_intake.domain.statistics_causes import Diagnosis, HourOfDay, diagnose
from waybill_intake.domain.statistics_periods import DAY, OTHER_LEVELS, Run, cover
from waybill_intake.store import statistics_reading as reading
from waybill_intake.store.statistics_reading import Scope

_BEGINNING = 0
_COMING_AND_GOING = 6
"""So many of a flow's numbers come first that are not about targets and replies."""
_END = 4_102_444_800  # 2100
_TOP_CLUSTERS = 20
_STAFFING_DAYS = 28


@dataclass(frozen=True, slots=True)
class Question:
    """Whose tickets, and when; `named` is a product of which it is not known that it exists."""

    scope: Scope
    named: str | None
    period: Period
    now: datetime


async def tell_volume(connection: AsyncConnection, asked: Question, interval: Interval) -> Volume:
    """How much there is to do."""
    marks = divide(asked.period, interval)
    flows = await reading.read_flows(
        connection, asked.scope, [_BEGINNING, *marks], width=_COMING_AND_GOING
    )
    of_period = await _one(connection, asked, STATE)
    everything = cover(_BEGINNING, _END, OTHER_LEVELS)
    now = await reading.read(connection, asked.scope, STATE, everything)
    whole = whole_ones(marks, asked.period, interval, asked.now)
    return volume(marks, flows, of_period, now.get((0,)), whole)


async def tell_efficiency(
    connection: AsyncConnection, asked: Question, interval: Interval
) -> Efficiency:
    """How well the work gets done."""
    marks = divide(asked.period, interval)
    flows = await reading.read_flows(connection, asked.scope, marks)
    return efficiency(
        marks,
        flows,
        await _one(connection, asked, CARE),
        await _by_key(connection, asked, RESPONSE),
        await _by_key(connection, asked, RESOLUTION),
    )


async def tell_agents(connection: AsyncConnection, asked: Question) -> list[AgentNumbers]:
    """What each agent did."""
    sums = await _by_key(connection, asked, AGENT)
    return agents(sums, await reading.names(connection, list(sums)))


async def tell_issues(connection: AsyncConnection, asked: Question) -> Issues:
    """What people have trouble with."""
    runs = _runs(asked.period)
    care = await reading.read(connection, asked.scope, CARE, runs, by=("type",))
    return issues(
        {str(type): values for (_, type), values in care.items()},
        await _by_key(connection, asked, TAG),
        await _clusters(connection, asked),
    )


async def tell_diagnosis(connection: AsyncConnection, asked: Question) -> Diagnosis:
    """Why things are as they are."""
    period = asked.period
    flows = await reading.read_flows(
        connection, asked.scope, [_BEGINNING, period.start, period.end]
    )
    before, during = named(FLOW, flows.get(0)), named(FLOW, flows.get(1))
    backlog = before["opened"] - before["left"] + before["back"]
    after = backlog + during["opened"] - during["left"] + during["back"]
    ratings = await _by_key(connection, asked, RATING)
    return diagnose(
        during,
        (backlog, after),
        named(CARE, await _one(connection, asked, CARE)),
        await _hours(connection, asked),
        {key: named(RATING, values) for key, values in ratings.items()},
    )


def _runs(period: Period) -> list[Run]:
    return list(cover(period.start, period.end, OTHER_LEVELS))


async def _one(connection: AsyncConnection, asked: Question, kind: str) -> list[int] | None:
    found = await reading.read(connection, asked.scope, kind, _runs(asked.period))
    return found.get((0,))


async def _by_key(connection: AsyncConnection, asked: Question, kind: str) -> dict[str, list[int]]:
    runs = _runs(asked.period)
    found = await reading.read(connection, asked.scope, kind, runs, by=("key",))
    return {str(key): values for (_, key), values in found.items()}


async def _hours(connection: AsyncConnection, asked: Question) -> list[HourOfDay]:
    """Arrivals and first replies by hour of the day, of the last four weeks of the period."""
    period = asked.period
    start = max(period.start, period.end - _STAFFING_DAYS * DAY)
    marks = divide(Period(start, period.end, period.zone), Interval.HOUR)
    flows = await reading.read_flows(connection, asked.scope, marks)
    sums = {hour: [0, 0] for hour in range(24)}
    for part, values in flows.items():
        flow = named(FLOW, values)
        hour = datetime.fromtimestamp(marks[part], period.zone).hour
        sums[hour][0] += flow["opened"]
        sums[hour][1] += flow["responded"]
    return [HourOfDay(hour, *values) for hour, values in sums.items()]


async def _clusters(connection: AsyncConnection, asked: Question) -> list[Cluster]:
    """The most frequent clusters; one whose oldest ticket is like an older one belongs to that."""
    sums = await _by_key(connection, asked, CLUSTER)
    known = await reading.roots(connection, asked.scope, list(sums))
    while missing := {one.cluster for one in known.values()} - {"", *known}:
        found = await reading.roots(connection, asked.scope, sorted(missing))
        known |= found
        if not found:
            break
    merged: dict[str, list[int]] = {}
    for id, values in sums.items():
        root = id
        while root in known and "" < known[root].cluster < root:
            root = known[root].cluster
        into = merged.setdefault(root, [0] * len(values))
        merged[root] = [a + b for a, b in zip(into, values, strict=True)]
    top = sorted(merged.items(), key=lambda one: (-one[1][0], one[0]))[:_TOP_CLUSTERS]
    clusters = []
    for id, values in top:
        n, root_of = named(CLUSTER, values), known.get(id)
        if root_of is None or not n["tickets"]:
            continue
        clusters.append(
            Cluster(
                UUID(id),
                root_of.number,
                root_of.title,
                n["tickets"],
                n["reopened"],
                n["escalated"],
                n["seconds"] // n["solved"] if n["solved"] else None,
            )
        )
    return clusters
