"""What sla tells. Each has `at`: when it happened."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from waybill_sla.domain.ticket import SourceEvent
from waybill_sla.domain.words import FollowUp, Level, Status, TargetKind, Trigger


class StartReason(StrEnum):
    """Why deadlines were set."""

    OPENED = "opened"
    RECOMPUTED = "recomputed"
    REDATED = "redated"


@dataclass(frozen=True, slots=True)
class ClockStarted:
    """The clock started, or its deadlines were computed anew."""

    at: datetime
    reason: StartReason


@dataclass(frozen=True, slots=True)
class ClockPaused:
    """The clock stands still since `at`, because of the status `reason`."""

    at: datetime
    reason: Status


@dataclass(frozen=True, slots=True)
class ClockResumed:
    """The clock runs again."""

    at: datetime
    paused_for: timedelta


@dataclass(frozen=True, slots=True)
class TargetAtRisk:
    """A share of a target's time is used up."""

    at: datetime
    kind: TargetKind
    share: float
    due_at: datetime
    remaining: timedelta


@dataclass(frozen=True, slots=True)
class TargetBreached:
    """A target was not reached in time; `at` is its deadline."""

    at: datetime
    id: UUID
    kind: TargetKind
    detected_at: datetime


@dataclass(frozen=True, slots=True)
class BreachRetracted:
    """A breach that was told is taken back."""

    at: datetime
    kind: TargetKind
    due_at: datetime
    met_at: datetime | None
    breach_event_id: UUID


@dataclass(frozen=True, slots=True)
class TargetMet:
    """A target was reached, in time or late."""

    at: datetime
    kind: TargetKind
    due_at: datetime
    elapsed: timedelta
    late: bool


@dataclass(frozen=True, slots=True)
class TicketEscalated:
    """The ticket is to go to `teams`. `led_by` is an earlier event, if it was not the present."""

    at: datetime
    level: Level
    previous_level: Level
    trigger: Trigger
    teams: tuple[str, ...]
    target: TargetKind | None = None
    rung: str = ""
    comment: str = ""
    led_by: SourceEvent | None = None


@dataclass(frozen=True, slots=True)
class FollowUpDue:
    """Nobody answered in time, in this episode."""

    at: datetime
    kind: FollowUp
    episode: int


Telling = (
    ClockStarted
    | ClockPaused
    | ClockResumed
    | TargetAtRisk
    | TargetBreached
    | BreachRetracted
    | TargetMet
    | TicketEscalated
    | FollowUpDue
)
