"""The ledger: the stretches of a clock's life, which together explain every second of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from waybill_sla.domain.ticket import Ticket
from waybill_sla.domain.words import PAUSING, SegmentKind, Status

NO_TIME = timedelta(0)
_ALWAYS_ID = UUID("01900000-0000-7000-8000-000000000002")


class Calendar(Protocol):
    """Tells working time from the rest."""

    @property
    def id(self) -> UUID:
        """Which calendar it is."""
        ...

    @property
    def version(self) -> int:
        """Which version of it."""
        ...

    def working_time(self, start: datetime, end: datetime) -> timedelta:
        """How much of the time from `start` to `end` is worked."""
        ...

    def after(self, start: datetime, working: timedelta) -> datetime:
        """The last moment at which not more than `working` has been worked since `start`."""
        ...

    def windows(self, start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
        """The stretches of the time from `start` to `end` that are worked, in their order."""
        ...


@dataclass(frozen=True, slots=True)
class AroundTheClock:
    """Every second is worked."""

    id: UUID = _ALWAYS_ID
    version: int = 1

    def working_time(self, start: datetime, end: datetime) -> timedelta:
        """All of it."""
        return max(end - start, NO_TIME)

    def after(self, start: datetime, working: timedelta) -> datetime:
        """That much later."""
        return start + working

    def windows(self, start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
        """One that never ends."""
        if start < end:
            yield start, end


ALWAYS = AroundTheClock()


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch in one status; the present one has no end. `event_id` is what began it."""

    status: Status
    started_at: datetime
    ended_at: datetime | None
    event_id: str

    @property
    def kind(self) -> SegmentKind:
        """Whether the clock ran in it."""
        return SegmentKind.PAUSED if self.status in PAUSING else SegmentKind.RUNNING


Ledger = tuple[Segment, ...]


def begun(ticket: Ticket, event_id: str) -> Ledger:
    """The ledger of a ticket as it was opened."""
    return (Segment(Status.PENDING, ticket.created_at, None, event_id),)


def continued(ledger: Ledger, ticket: Ticket, at: datetime, event_id: str) -> Ledger:
    """The ledger with what `ticket` says has happened since its last line.

    One move is the rule. When moves were missed, the ticket's own times tell of a solution and of
    a reopening in between; what they do not tell is taken to have been like its beginning.
    `at` is the time of the event, which counts when the status is as old as before a merge.
    """
    for moment, status in sorted(
        (moment, status)
        for moment, status in (
            (ticket.resolved_at, Status.RESOLVED),
            (ticket.reopened_at, Status.IN_PROGRESS),
        )
        if moment is not None and moment < ticket.status_since
    ):
        if moment > ledger[-1].started_at and status is not ledger[-1].status:
            ledger = _turned(ledger, status, moment, event_id)
    last = ledger[-1]
    if ticket.status is last.status and ticket.status_since <= last.started_at:
        return ledger
    since = ticket.status_since
    if since < last.started_at:
        since = max(at, last.started_at)
    return _turned(ledger, ticket.status, since, event_id)


def _turned(ledger: Ledger, status: Status, at: datetime, event_id: str) -> Ledger:
    return (
        *ledger[:-1],
        replace(ledger[-1], ended_at=at),
        Segment(status, at, None, event_id),
    )


def elapsed(
    ledger: Ledger, until: datetime, calendar: Calendar, since: datetime | None = None
) -> timedelta:
    """The working time that had run at `until`, from `since` on."""
    return sum(
        (
            calendar.working_time(
                max(part.started_at, since or part.started_at),
                min(part.ended_at or until, until),
            )
            for part in ledger
            if part.kind is SegmentKind.RUNNING and part.started_at < until
        ),
        NO_TIME,
    )


def stood_still(
    ledger: Ledger, until: datetime | None = None, since: datetime | None = None
) -> timedelta:
    """How long the clock has been paused in all, by the wall clock; the present pause excepted."""
    return sum(
        (
            part.ended_at - max(part.started_at, since or part.started_at)
            for part in ledger
            if part.kind is SegmentKind.PAUSED
            and part.ended_at is not None
            and (until is None or part.ended_at <= until)
            and (since is None or part.ended_at > since)
        ),
        NO_TIME,
    )


def deadline(
    ledger: Ledger, left: timedelta, calendar: Calendar, since: datetime | None = None
) -> datetime | None:
    """When `left` is used up if the clock runs on; in a pause, where that stood at its start.

    None if that is not within these lines: it was used up before, or the clock never ran in them.
    """
    if left < NO_TIME:
        return None
    due = None
    for part in ledger:
        over = since is not None and part.ended_at is not None and part.ended_at <= since
        if over or part.kind is SegmentKind.PAUSED:
            continue
        start = max(part.started_at, since or part.started_at)
        due = calendar.after(start, left)
        if part.ended_at is None:
            break
        worked = calendar.working_time(start, part.ended_at)
        if worked > left:
            break
        left -= worked
    return due


def until(ledger: Ledger, end: datetime) -> Ledger:
    """The ledger as it stood at `end`."""
    kept = [part for part in ledger if part.started_at < end] or [ledger[0]]
    last = kept[-1]
    if last.ended_at is not None and last.ended_at >= end:
        kept[-1] = replace(last, ended_at=None)
    return tuple(kept)


def first_resolved(ledger: Ledger, since: datetime | None = None) -> datetime | None:
    """When the ticket was first resolved, from `since` on."""
    return next(
        (
            part.started_at
            for part in ledger
            if part.status is Status.RESOLVED and (since is None or part.started_at >= since)
        ),
        None,
    )


@dataclass(frozen=True, slots=True)
class Earlier:
    """What of the lines that are not at hand must be known: so an event reads a few lines only."""

    lines: int = 0
    """How many there are."""
    stood: timedelta = NO_TIME
    """How long the clock was paused in them."""
    paused_since: datetime | None = None
    """Since when it had been paused at the end of them; None if it ran."""
    resolved_at: datetime | None = None
    """When the ticket was first resolved in them."""

    def and_then(self, lines: Ledger) -> "Earlier":
        """With these lines, too."""
        return Earlier(
            self.lines + len(lines),
            self.stood + stood_still(lines),
            pause_began(lines, self.paused_since),
            self.resolved_at or first_resolved(lines),
        )


NOTHING = Earlier()
"""All lines are at hand."""


class LookedBack(Exception):
    """The answer lies before the lines at hand: ask again with all of them."""


def pause_began(ledger: Sequence[Segment], before: datetime | None = None) -> datetime | None:
    """Since when the clock has stood still without a break; None while it runs.

    `before`: since when it had at the beginning of these lines.
    """
    since = None
    for part in reversed(ledger):
        if part.kind is SegmentKind.RUNNING:
            return since
        since = part.started_at
    return before or since
