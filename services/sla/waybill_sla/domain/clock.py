"""A ticket's clock and its targets."""

from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from waybill_sla.domain import ledger
from waybill_sla.domain.ledger import (
    ALWAYS,
    NO_TIME,
    NOTHING,
    Calendar,
    Earlier,
    Ledger,
    LookedBack,
)
from waybill_sla.domain.telling import StartReason, Telling
from waybill_sla.domain.ticket import Repetition, Ticket, Wait
from waybill_sla.domain.words import (
    PAUSING,
    ClockState,
    Level,
    Priority,
    Status,
    TargetKind,
    TargetState,
)


@dataclass(frozen=True, slots=True)
class Target:
    """One target of a clock. `breached_at` and `breach_event_id` are set once a breach is told."""

    kind: TargetKind
    state: TargetState
    allowed: timedelta
    due_at: datetime
    stopped_at: datetime | None = None
    breached_at: datetime | None = None
    breach_event_id: UUID | None = None
    warned_share: float = 0.0
    calendar: Calendar = ALWAYS
    """By which it is dated; a verdict stands by the one it was given by."""
    started_at: datetime | None = None
    """When its time began; None for the clock's own beginning."""
    round: int = 0
    """Which question or which wait for news it is about; 0 for a target that there is once."""
    dropped_at: datetime | None = None
    """When it ceased to apply, breached or not."""
    reopening: int = 0
    """For which reopening it is warned of and breached; 0 before the first."""
    ran: timedelta = NO_TIME
    """How much of its time the lines used up that are not at hand."""
    stood: timedelta = NO_TIME
    """How long it stood still in them."""

    @property
    def open(self) -> bool:
        """Whether its time still counts."""
        return self.state in _OPEN

    @property
    def ended_at(self) -> datetime | None:
        """When it was reached or ceased to apply: no time is counted from then on."""
        return self.stopped_at or self.dropped_at


_OPEN = frozenset({TargetState.RUNNING, TargetState.AT_RISK, TargetState.PAUSED})

AT_HAND = 8
"""So many lines of the ledger an event reads. What has to look further back reads them all."""


@dataclass(frozen=True, slots=True)
class Dating:
    """By what the deadlines are dated from a moment on, why, and the event or task that led to it.

    A line of the ledger begins with it.
    """

    at: datetime
    reason: StartReason
    event_id: str
    policy_id: UUID
    policy_version: int
    calendar_id: UUID
    calendar_version: int
    priority: Priority
    type: str


@dataclass(frozen=True, slots=True)
class Clock:
    """The clock of a ticket, with what is known of the ticket.

    Without a `ticket` it is a stub: somebody spoke of the ticket before intake did.
    `dated` grows each time the deadlines move; timers are armed for one value of it.
    `fired` names the rungs that have fired, each with its cause; `followed_up` what was due in
    the present episode.
    """

    ticket_id: UUID
    ticket: Ticket | None = None
    wait: Wait | None = None
    repetition: Repetition | None = None
    policy_id: UUID | None = None
    policy_version: int = 0
    segments: Ledger = ()
    """The lines of its ledger that are at hand, the last ones."""
    targets: tuple[Target, ...] = ()
    level: Level = Level.NONE
    fired: frozenset[str] = frozenset()
    followed_up: frozenset[str] = frozenset()
    dated: int = 0
    version: int = 0
    updated_at: datetime | None = None
    erased: bool = False
    """Whether the submitter was erased: no news, however late, says who that was."""
    calendar: Calendar = ALWAYS
    past: tuple[Target, ...] = field(default=(), compare=False)
    """Targets of earlier questions and waits that ended since it was read; not kept with it."""
    earlier: Earlier = NOTHING
    """What stands before the lines at hand."""
    datings: tuple[Dating, ...] = ()
    """How it was dated since it was read."""
    datings_before: int = 0
    """How often it had been dated before that."""
    dated_at: datetime | None = None
    """When it was last dated."""

    @property
    def state(self) -> ClockState:
        """Whether it runs."""
        status = self.segments[-1].status
        if status is Status.CLOSED:
            return ClockState.STOPPED
        return ClockState.PAUSED if status in PAUSING else ClockState.RUNNING

    @property
    def started_at(self) -> datetime:
        """When it started."""
        if self.ticket is not None and self.earlier.lines:
            return self.ticket.created_at
        return self.segments[0].started_at

    @property
    def paused_since(self) -> datetime | None:
        """Since when it has been paused or stopped."""
        return ledger.pause_began(self.segments, self.earlier.paused_since)

    @property
    def unassigned_since(self) -> datetime | None:
        """Since when nobody has had the ticket; until routing has spoken, since its opening."""
        return self.wait.unassigned_since if self.wait is not None else self.started_at

    def target(self, kind: TargetKind) -> Target:
        """One of its targets."""
        return next(target for target in self.targets if target.kind is kind)

    @property
    def resolved_first_at(self) -> datetime | None:
        """When it was first resolved."""
        return self.earlier.resolved_at or ledger.first_resolved(self.segments)

    def at_hand(self, moment: datetime) -> bool:
        """Whether the lines at hand tell what went on from this moment on."""
        return not self.earlier.lines or moment >= self.segments[0].started_at

    def elapsed(self, target: Target, now: datetime) -> timedelta:
        """How much of a target's time was used up at `now`, or when it ended."""
        return self._spent(target, target.ended_at or now)

    def used(self, target: Target, at: datetime) -> timedelta:
        """How much of a target's time was used up at a moment, whether it went on or not."""
        if not self.at_hand(at):
            raise LookedBack
        return self._spent(target, at)

    def certain(self, target: Target) -> timedelta:
        """What the lines that are over have used up of it: no answer can make it less."""
        return self._spent(target, self.segments[-1].started_at)

    def _spent(self, target: Target, at: datetime) -> timedelta:
        return self.ran(target) + ledger.elapsed(
            self.segments, at, target.calendar, target.started_at
        )

    def ran(self, target: Target) -> timedelta:
        """How much of a target's time was used up before the lines at hand."""
        return target.ran if self.earlier.lines else NO_TIME

    def paused(self, target: Target) -> timedelta:
        """How long a target has stood still, by the wall clock; the present pause excepted."""
        before = target.stood if self.earlier.lines else NO_TIME
        return before + ledger.stood_still(self.segments, target.ended_at, target.started_at)

    @property
    def stood_still(self) -> timedelta:
        """How long it has been paused in all, by the wall clock; the present pause excepted."""
        return self.earlier.stood + ledger.stood_still(self.segments)

    def deadline(self, target: Target, end: datetime | None = None) -> datetime:
        """When the target is due; with `end` as that stood then.

        What began in a pause is due as if the clock ran from there.
        """
        if end is not None and self.earlier.lines and end <= self.segments[0].started_at:
            raise LookedBack
        lines = self.segments if end is None else ledger.until(self.segments, end)
        since, left = target.started_at, target.allowed - self.ran(target)
        due = ledger.deadline(lines, left, target.calendar, since)
        if due is not None:
            return due
        if since is not None and self.at_hand(since):
            return target.calendar.after(since, left)
        raise LookedBack

    def passes(self, target: Target, share: float) -> datetime:
        """When this share of a target's time is used up if the clock runs on.

        What it had used up before a reopening, it is said to use up then; what it had before the
        lines at hand, when they begin.
        """
        time, again = target.allowed * share, self.reopened_at(target)
        if again is not None and self.at_hand(again) and self._spent(target, again) > time:
            return again
        return ledger.deadline(
            self.segments, time - self.ran(target), target.calendar, target.started_at
        ) or max(self.segments[0].started_at, target.started_at or self.segments[0].started_at)

    def reopened_at(self, target: Target) -> datetime | None:
        """Since when it is warned of and breached anew; None if that never began again."""
        return self.ticket.reopened_at if self.ticket and target.reopening else None

    def folded(self, at_hand: int = AT_HAND) -> "Clock":
        """With the last lines only, and what came before them in sums."""
        away = self.segments[:-at_hand]
        return replace(
            self,
            segments=self.segments[-at_hand:],
            earlier=self.earlier.and_then(away),
            targets=tuple(self._folded(target, away) for target in self.targets),
        )

    def _folded(self, target: Target, away: Ledger) -> Target:
        ran, stood = self.ran(target), target.stood if self.earlier.lines else NO_TIME
        if away:
            over = away[-1].ended_at
            assert over is not None
            end, since = target.ended_at, target.started_at
            ran += ledger.elapsed(away, min(end or over, over), target.calendar, since)
            stood += ledger.stood_still(away, end, since)
        return replace(target, ran=ran, stood=stood)

    def whole(self, before: Ledger) -> "Clock":
        """With all lines at hand: those before its own are `before`."""
        return replace(self, segments=(*before, *self.segments), earlier=NOTHING)

    def remaining(self, target: Target, now: datetime) -> timedelta:
        """The working time that is left at `now`; negative when it is overdue."""
        return target.allowed - self.elapsed(target, now)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A clock after a change, and what is to be told of it."""

    clock: Clock
    told: tuple[Telling, ...] = ()
