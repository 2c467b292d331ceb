"""A ticket's clock and its targets."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from waybill_sla.domain import ledger
from waybill_sla.domain.ledger import ALWAYS, Calendar, Ledger
from waybill_sla.domain.telling import Telling
from waybill_sla.domain.ticket import Repetition, Ticket, Wait
from waybill_sla.domain.words import (
    PAUSING,
    ClockState,
    Level,
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

    @property
    def open(self) -> bool:
        """Whether its time still counts."""
        return self.state in _OPEN


_OPEN = frozenset({TargetState.RUNNING, TargetState.AT_RISK, TargetState.PAUSED})


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
        return self.segments[0].started_at

    @property
    def paused_since(self) -> datetime | None:
        """Since when it has been paused or stopped."""
        return ledger.pause_began(self.segments)

    @property
    def unassigned_since(self) -> datetime | None:
        """Since when nobody has had the ticket; until routing has spoken, since its opening."""
        return self.wait.unassigned_since if self.wait is not None else self.started_at

    def target(self, kind: TargetKind) -> Target:
        """One of its targets."""
        return next(target for target in self.targets if target.kind is kind)

    def elapsed(self, target: Target, now: datetime) -> timedelta:
        """How much of a target's time was used up at `now`, or when it stopped."""
        end = target.stopped_at or now
        return ledger.elapsed(self.segments, end, target.calendar) - self.head_start(target)

    def head_start(self, target: Target) -> timedelta:
        """How much the clock had run when a target's time began."""
        if target.started_at is None:
            return ledger.NO_TIME
        return ledger.elapsed(self.segments, target.started_at, target.calendar)

    def paused(self, target: Target) -> timedelta:
        """How long a target has stood still, by the wall clock; the present pause excepted."""
        return ledger.stood_still(self.segments, target.stopped_at, target.started_at)

    def remaining(self, target: Target, now: datetime) -> timedelta:
        """The working time that is left at `now`; negative when it is overdue."""
        return target.allowed - self.elapsed(target, now)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A clock after a change, and what is to be told of it."""

    clock: Clock
    told: tuple[Telling, ...] = ()
