"""The words of this domain; as REST and the database spell them."""

import re
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
    NOT_ACCEPTED = "not_accepted"


class Presence(StrEnum):
    """Whether an agent takes tickets."""

    AVAILABLE = "available"
    BUSY = "busy"
    AWAY = "away"
    OFFLINE = "offline"


class Strategy(StrEnum):
    """How an agent is chosen for a queue's tickets."""

    ROUND_ROBIN = "round_robin"
    """Whoever has waited longest for a ticket."""
    LEAST_LOADED = "least_loaded"
    """Whoever holds least."""
    EXPERTISE = "expertise"
    """Whoever is most skilled in what the ticket speaks of."""
    SMART = "smart"
    """All of it weighed, and several tickets against several agents at once."""


class SkillKind(StrEnum):
    """What a skill is about: a ticket's type, one of its tags, its product or its language."""

    TYPE = "type"
    TAG = "tag"
    PRODUCT = "product"
    LANGUAGE = "language"


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


_VALUES = {
    SkillKind.TAG: (r".+", "a tag"),
    SkillKind.PRODUCT: (r"[a-z0-9][a-z0-9-]*", "a product's slug, such as demo"),
    SkillKind.LANGUAGE: (r"[a-z]{2,8}(-[a-z0-9]{1,8})*", "a language, such as en or pt-br"),
}


def skill_fault(kind: SkillKind, value: str) -> str | None:
    """What would be right, if there is no such skill; values are in small letters."""
    if kind is SkillKind.TYPE:
        return None if value in set(TicketType) else f"must be one of {', '.join(TicketType)}"
    pattern, right = _VALUES[kind]
    return None if re.fullmatch(pattern, value) else f"must be {right}"
