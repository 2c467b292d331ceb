"""The words of the domain, spelled as REST spells them."""

from enum import IntEnum, StrEnum


class Status(StrEnum):
    """Where a ticket stands."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    AWAITING_USER = "awaiting_user"
    RESOLVED = "resolved"
    CLOSED = "closed"


PAUSING = frozenset({Status.AWAITING_USER, Status.RESOLVED, Status.CLOSED})
"""The statuses in which no time is counted."""

UNSOLVED = frozenset({Status.PENDING, Status.IN_PROGRESS, Status.AWAITING_USER})
"""The statuses in which there is something left to do, so that escalating makes sense."""


class Priority(StrEnum):
    """How much haste a ticket has."""

    URGENT = "urgent"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class TargetKind(StrEnum):
    """What a target measures."""

    RESPONSE = "response"
    RESOLUTION = "resolution"
    NEXT_RESPONSE = "next_response"
    UPDATE = "update"


class TargetState(StrEnum):
    """Where a target stands."""

    RUNNING = "running"
    AT_RISK = "at_risk"
    PAUSED = "paused"
    MET = "met"
    BREACHED = "breached"
    CANCELLED = "cancelled"


class ClockState(StrEnum):
    """Whether a clock runs."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"


class SegmentKind(StrEnum):
    """What happened in a stretch of a clock's life."""

    RUNNING = "running"
    PAUSED = "paused"
    OUTSIDE_HOURS = "outside_hours"


class Level(IntEnum):
    """How far up a ticket is; the numbers are those of the contracts."""

    NONE = 0
    SENIOR_SUPPORT = 1
    TECH_TEAM = 2
    MANAGEMENT = 3
    CROSS_DEPARTMENT = 4

    @property
    def slug(self) -> str:
        """The word for it, which is also the slug of its team: `senior_support`."""
        return self.name.lower()


class Trigger(StrEnum):
    """What makes a rung of the ladder fire."""

    AT_RISK = "at_risk"
    BREACHED = "breached"
    UNASSIGNED = "unassigned"
    ISSUE_REPEATED = "issue_repeated"
    BY_HAND = "by_hand"


class FollowUp(StrEnum):
    """What is due when nobody answers."""

    REMINDER_1 = "reminder_1"
    REMINDER_2 = "reminder_2"
    AUTO_CLOSE_AWAITING = "auto_close_awaiting"
    AUTO_CLOSE_RESOLVED = "auto_close_resolved"


class TimerKind(StrEnum):
    """What a timer is for, follow-ups aside."""

    WARNING = "warning"
    DUE = "due"
    UNASSIGNED = "unassigned"
