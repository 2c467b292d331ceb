"""The words of tickets, as REST and the contracts spell them."""

from enum import StrEnum


class TicketType(StrEnum):
    """What a ticket is about."""

    TECHNICAL = "technical"
    ACCOUNT = "account"
    ORDER = "order"
    PRODUCT_INQUIRY = "product_inquiry"
    COMPLAINT = "complaint"
    SUGGESTION = "suggestion"


class Priority(StrEnum):
    """How much haste a ticket has."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    URGENT = "urgent"

    @property
    def rank(self) -> int:
        """Higher for more haste."""
        return list(Priority).index(self)


class Status(StrEnum):
    """Where a ticket stands."""

    PENDING = "pending"
    IN_PROGRESS = "in_progress"
    AWAITING_USER = "awaiting_user"
    RESOLVED = "resolved"
    CLOSED = "closed"


class CloseReason(StrEnum):
    """Why a ticket was closed."""

    USER_CONFIRMED = "user_confirmed"
    RESOLVED = "resolved"
    AUTO_CLOSED = "auto_closed"
    NO_ACTION_NEEDED = "no_action_needed"
    DUPLICATE = "duplicate"


class Channel(StrEnum):
    """The way a ticket or a message came in."""

    API = "api"
    EVENT = "event"
    CONSOLE = "console"
    EMAIL = "email"
    WEB = "web"


class ActorKind(StrEnum):
    """Who can do something."""

    SUBMITTER = "submitter"
    AGENT = "agent"
    PRODUCT = "product"
    AUTOMATION = "automation"


class MessageKind(StrEnum):
    """Who may read a message: a reply everybody, a note agents only."""

    REPLY = "reply"
    NOTE = "note"


class LinkKind(StrEnum):
    """What the other ticket is to this one."""

    RELATED = "related"
    FOLLOW_UP = "follow_up"
    FOLLOWED_BY = "followed_by"
    BLOCKS = "blocks"
    BLOCKED_BY = "blocked_by"

    @property
    def other_end(self) -> "LinkKind":
        """The same link, seen from the other ticket."""
        return _OTHER_ENDS.get(self, self)


_OTHER_ENDS = {
    LinkKind.FOLLOW_UP: LinkKind.FOLLOWED_BY,
    LinkKind.FOLLOWED_BY: LinkKind.FOLLOW_UP,
    LinkKind.BLOCKS: LinkKind.BLOCKED_BY,
    LinkKind.BLOCKED_BY: LinkKind.BLOCKS,
}


class Outcome(StrEnum):
    """What becomes of a complaint or a suggestion."""

    PLANNED = "planned"
    DONE = "done"
    DECLINED = "declined"


class FollowUpKind(StrEnum):
    """What is due when nobody answers."""

    REMINDER_1 = "reminder_1"
    REMINDER_2 = "reminder_2"
    AUTO_CLOSE_AWAITING = "auto_close_awaiting"
    AUTO_CLOSE_RESOLVED = "auto_close_resolved"


class MergeRole(StrEnum):
    """A ticket's part in a merge."""

    SOURCE = "source"
    TARGET = "target"


class ActionKind(StrEnum):
    """What a submitter can do with a link in a message."""

    CONFIRM = "confirm"
    REOPEN = "reopen"
    RATE = "rate"
    UNSUBSCRIBE = "unsubscribe"
