"""A ticket, its conversation, and the facts that tell of their changes."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from waybill_intake.domain.attachments import Attachment
from waybill_intake.domain.words import (
    ActorKind,
    Channel,
    CloseReason,
    FollowUpKind,
    LinkKind,
    MergeRole,
    MessageKind,
    Outcome,
    Priority,
    Status,
    TicketType,
)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who does something."""

    kind: ActorKind
    id: str
    name: str = ""
    email: str = ""


AUTOMATION = Actor(ActorKind.AUTOMATION, "intake", "Waybill intake")


@dataclass(frozen=True, slots=True)
class Submitter:
    """The person a ticket is for; one for each lower-cased e-mail address."""

    id: UUID
    email: str
    name: str = ""
    tier: str = ""

    def actor(self) -> Actor:
        """The person as the one who acts."""
        return Actor(ActorKind.SUBMITTER, str(self.id), self.name, self.email)


@dataclass(frozen=True, slots=True)
class Rating:
    """How the submitter rates the help: 1 (bad) to 5 (good)."""

    score: int
    comment: str
    rated_at: datetime


@dataclass(frozen=True, slots=True)
class Link:
    """One ticket's end of a link to another."""

    kind: LinkKind
    ticket_id: UUID
    number: str


@dataclass(frozen=True, slots=True)
class Watcher:
    """Somebody who follows a ticket without having it; known by a lower-cased address."""

    email: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """A point of the handling checklist that somebody has done, or waived for a `reason`."""

    point: str
    by: str
    at: datetime
    waived: bool = False
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """What somebody asks for when they open a ticket; None where they leave it open."""

    type: TicketType
    title: str
    description: str
    priority: Priority | None = None
    language: str = ""
    tags: tuple[str, ...] = ()
    custom_fields: Mapping[str, Any] = field(default_factory=dict)
    order_refs: tuple[str, ...] = ()
    external_ref: str = ""
    attachment_ids: tuple[UUID, ...] = ()

    def set_fields(self) -> tuple[str, ...]:
        """The fields that triage has to leave alone."""
        given = {
            "language": self.language,
            "priority": self.priority,
            "tags": self.tags,
            "type": self.type,
        }
        return tuple(name for name, value in given.items() if value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """A ticket as it stands after a change: everything that intake owns of it."""

    id: UUID
    number: str
    product: str
    type: TicketType
    priority: Priority
    status: Status
    title: str
    description: str
    language: str = ""
    tags: tuple[str, ...] = ()
    custom_fields: Mapping[str, Any] = field(default_factory=dict)
    channel: Channel
    submitter: Submitter | None = None
    order_refs: tuple[str, ...] = ()
    external_ref: str = ""
    occurrences: int = 1
    created_at: datetime
    updated_at: datetime
    status_since: datetime
    episode: int = 1
    episode_since: datetime
    first_response_at: datetime | None = None
    resolved_at: datetime | None = None
    closed_at: datetime | None = None
    close_reason: CloseReason | None = None
    reopenings: int = 0
    reopened_at: datetime | None = None
    last_public_message_at: datetime | None = None
    last_public_message_by: ActorKind | None = None
    rating: Rating | None = None
    merged_into: UUID | None = None
    links: tuple[Link, ...] = ()
    set_by_person: tuple[str, ...] = ()
    opened_by_product: bool = False
    reminders: tuple[FollowUpKind, ...] = ()
    """The reminders that were posted in the present episode."""
    unsubscribed_at: datetime | None = None
    """When the submitter asked for no more messages."""
    erased_at: datetime | None = None
    """When all that the submitter wrote and is was erased from it."""
    attachment_ids: tuple[UUID, ...] = ()
    """The attachments that came with its opening; those of a message are in the message."""
    watchers: tuple[Watcher, ...] = ()
    outcome: Outcome | None = None
    checks: tuple[Check, ...] = ()
    """The points of its checklist that are done or waived."""
    skipped: tuple[str, ...] = ()
    """The points that were neither when it was last resolved."""
    version: int = 1

    @property
    def is_open(self) -> bool:
        """Whether it is not yet archived."""
        return self.status is not Status.CLOSED

    @property
    def response_seconds(self) -> float | None:
        """From opening to the first response, by the wall clock."""
        return self._since_opening(self.first_response_at)

    @property
    def resolution_seconds(self) -> float | None:
        """From opening to `resolved`, by the wall clock."""
        return self._since_opening(self.resolved_at)

    def _since_opening(self, moment: datetime | None) -> float | None:
        return None if moment is None else (moment - self.created_at).total_seconds()

    def changed(self, at: datetime, **fields: Any) -> "Ticket":
        """The next version of it. Time never runs backwards within a ticket."""
        return replace(
            self, version=self.version + 1, updated_at=max(at, self.updated_at), **fields
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message of a ticket's conversation."""

    id: UUID
    ticket_id: UUID
    kind: MessageKind
    author: Actor
    body: str
    created_at: datetime
    first_response: bool = False
    channel: Channel = Channel.API
    quick_reply_id: str = ""
    attachment_ids: tuple[UUID, ...] = ()
    mentions: tuple[str, ...] = ()
    """The addresses of the agents it speaks to."""
    edited_at: datetime | None = None
    original_ticket_id: UUID | None = None
    """The ticket it was posted to, when a merge has moved it since."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """Something that happened to a ticket; `ticket` is how it stands afterwards."""

    ticket: Ticket

    @property
    def at(self) -> datetime:
        """When it happened."""
        return self.ticket.updated_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened(Fact):
    """A ticket was opened."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One field before and after, as REST shows it."""

    field: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Edited(Fact):
    """Fields were changed, never the status."""

    changes: tuple[Change, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Moved(Fact):
    """It moved to another status."""

    source: Status
    comment: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Posted(Fact):
    """A message was posted."""

    message: Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Reminded(Fact):
    """The submitter is to be reminded."""

    kind: FollowUpKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """What a merge changed: enough to undo it."""

    id: UUID
    source_id: UUID
    target_id: UUID
    numbers: tuple[str, str]
    """Those of the source and of the target."""
    merged_at: datetime
    status: Status
    """Of the source before."""
    resolved_at: datetime | None
    """Of the source before."""
    priority: Priority | None
    """Of the target before; None if it was not raised."""
    set_by_person: tuple[str, ...]
    """Of the target before."""
    watchers: tuple[str, ...]
    """The addresses of those who came to the target."""
    attachment_ids: tuple[UUID, ...]
    """What came with the opening of the source."""
    undone_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Merged(Fact):
    """It was merged with another ticket, or that was undone."""

    role: MergeRole
    merge: Merge


@dataclass(frozen=True, slots=True, kw_only=True)
class Linked(Fact):
    """It was linked to another ticket."""

    link: Link


@dataclass(frozen=True, slots=True, kw_only=True)
class Attached(Fact):
    """A file was attached to it, or to one of its messages."""

    attachment: Attachment


@dataclass(frozen=True, slots=True, kw_only=True)
class Rated(Fact):
    """The submitter rated the help."""

    rating: Rating
