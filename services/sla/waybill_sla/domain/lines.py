"""The ledger as it is shown: lines in which nothing changed, each with its cause and its terms."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from waybill_sla.domain.clock import Clock, Dating
from waybill_sla.domain.ledger import NO_TIME, Segment
from waybill_sla.domain.words import SegmentKind, Status, TargetKind


class Beginning(StrEnum):
    """What began a stretch."""

    OPENED = "opened"
    MOVED = "moved"
    RECOMPUTED = "recomputed"
    REDATED = "redated"


@dataclass(frozen=True, slots=True)
class Terms:
    """A dating, with the names that policy and calendar have."""

    dating: Dating
    policy: str
    calendar: str


@dataclass(frozen=True, slots=True)
class Line:
    """A stretch in which nothing changed.

    It is at `position` in the ledger; several are where hours of work begin and end in it.
    `event_id` is what began it, of which `began` says what it did; `counts` how much of it counts
    for which target: over all lines that is what has elapsed of it.
    """

    position: int
    kind: SegmentKind
    status: Status
    started_at: datetime
    ended_at: datetime | None
    working_time: timedelta
    event_id: str
    began: Beginning
    terms: Terms | None
    counts: Mapping[TargetKind, timedelta]


def lines(
    clock: Clock,
    stretches: Iterable[tuple[int, Segment]],
    terms: Sequence[Terms],
    now: datetime,
    since: datetime | None = None,
) -> Iterator[Line]:
    """The lines of these stretches until `now`, from `since` on.

    `terms` are those that were in force when they began, and all since then, in their order. Hours
    are those of the calendar by which the clock counts now.
    """
    for position, part in stretches:
        for stretch, began, inside in _cut(position, part, terms, since, now):
            yield from _by_hours(clock, position, stretch, began, inside, now)


def _cut(
    position: int, part: Segment, terms: Sequence[Terms], since: datetime | None, now: datetime
) -> Iterator[tuple[Segment, Beginning, Terms | None]]:
    """A stretch, cut where the clock was dated anew in it."""
    began = Beginning.MOVED if position else Beginning.OPENED
    inside = None
    for each in terms:
        at = each.dating.at
        if at <= part.started_at:
            inside = each
            continue
        if at >= (part.ended_at or now):
            break
        if since is None or at > since:
            yield replace(_from(part, since), ended_at=at), began, inside
        part = Segment(part.status, at, part.ended_at, each.dating.event_id)
        began, inside = Beginning(each.dating.reason), each
    yield _from(part, since), began, inside


def _from(part: Segment, since: datetime | None) -> Segment:
    return part if since is None or since <= part.started_at else replace(part, started_at=since)


def _by_hours(
    clock: Clock,
    position: int,
    part: Segment,
    began: Beginning,
    terms: Terms | None,
    now: datetime,
) -> Iterator[Line]:
    end = max(min(part.ended_at or now, now), part.started_at)
    whole = Line(
        position,
        part.kind,
        part.status,
        part.started_at,
        part.ended_at,
        clock.calendar.working_time(part.started_at, end),
        part.event_id,
        began,
        terms,
        {},
    )
    if part.kind is not SegmentKind.RUNNING or part.started_at == end:
        yield whole
        return
    for since, till, worked in _hours(clock, part.started_at, end):
        yield replace(
            whole,
            kind=SegmentKind.RUNNING if worked else SegmentKind.OUTSIDE_HOURS,
            started_at=since,
            ended_at=part.ended_at if till == end else till,
            working_time=till - since if worked else NO_TIME,
            counts=_counts(clock, since, till),
        )


def _hours(
    clock: Clock, start: datetime, end: datetime
) -> Iterator[tuple[datetime, datetime, bool]]:
    """The stretch by hours that are worked and hours that are not."""
    at = start
    for opens, closes in clock.calendar.windows(start, end):
        if at < opens:
            yield at, opens, False
        yield opens, closes, True
        at = closes
    if at < end:
        yield at, end, False


def _counts(clock: Clock, since: datetime, till: datetime) -> dict[TargetKind, timedelta]:
    """How much of it each target counts, by the calendar that the target is dated by."""
    found = {}
    for target in clock.targets:
        start = max(since, target.started_at or since)
        time = target.calendar.working_time(start, min(till, target.ended_at or till))
        if time:
            found[target.kind] = time
    return found
