"""The words of this domain; as REST and the database spell them."""

from enum import StrEnum


class State(StrEnum):
    """Whether somebody has a ticket."""

    UNPLACED = "unplaced"
    """Routing has heard of the ticket, and not put it anywhere yet."""
    QUEUED = "queued"
    ASSIGNED = "assigned"
    RELEASED = "released"
    """Nobody has it, and it waits in no queue."""


class Method(StrEnum):
    """How an agent came by a ticket."""

    AUTOMATIC = "automatic"
    CLAIM = "claim"
    NEXT = "next"
    BY_HAND = "by_hand"


class ReleaseReason(StrEnum):
    """Why an agent no longer has a ticket."""

    BY_HAND = "by_hand"
    AGENT_UNAVAILABLE = "agent_unavailable"
    ESCALATED = "escalated"
    CLOSED = "closed"


class Presence(StrEnum):
    """Whether an agent takes tickets."""

    AVAILABLE = "available"
    BUSY = "busy"
    AWAY = "away"
    OFFLINE = "offline"


class Strategy(StrEnum):
    """How an agent is chosen for a queue's tickets."""

    LEAST_LOADED = "least_loaded"


class TicketType(StrEnum):
    """What a ticket is about."""

    TECHNICAL = "technical"
    ACCOUNT = "account"
    ORDER = "order"
    PRODUCT_INQUIRY = "product_inquiry"
    COMPLAINT = "complaint"
    SUGGESTION = "suggestion"


class Priority(StrEnum):
    """How much haste a ticket has, most urgent first."""

    URGENT = "urgent"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Status(StrEnum):
    """Where a ticket stands."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    AWAITING_USER = "awaiting_user"
    RESOLVED = "resolved"
    CLOSED = "closed"
