"""What people and products may send, over REST and on the topic alike."""

import re
from functools import lru_cache
from typing import Annotated, Any
from uuid import UUID

from email_validator import EmailNotValidError, validate_email
from pydantic import AfterValidator, Field, StringConstraints, model_validator
from pydantic_core import to_json
from waybill_chassis.problems import invalid_field
from waybill_chassis.validation import RequestModel

from waybill_intake.domain.attachments import MOST_FILES
from waybill_intake.domain.ticket import Draft
from waybill_intake.domain.words import (
    CloseReason,
    LinkKind,
    MessageKind,
    Outcome,
    Priority,
    Status,
    TicketType,
)

_MOST_CUSTOM_BYTES = 16 * 1024
_LARGEST_INTEGER = 2**53
_PLAIN_ADDRESS = re.compile(
    r"(?=[^@]{1,64}@)[A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*@([A-Za-z0-9.-]+)"
)


def _is_address(value: str) -> bool:
    try:
        validate_email(value, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        return False
    return True


@lru_cache(maxsize=4096)
def _is_domain(value: str) -> bool:
    return _is_address(f"somebody@{value}")


def _email(value: str) -> str:
    # Millions of people share a few domains, and most have a name that needs no library.
    plain = _PLAIN_ADDRESS.fullmatch(value)
    if not (_is_domain(plain[1]) if plain else _is_address(value)):
        raise ValueError("must be an e-mail address such as ana@example.com")
    return value.lower()


def _tags(value: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(tag.lower() for tag in value))


def _exact(value: Any) -> bool:
    """Whether every number in it is one that other languages and the events keep as it is."""
    if isinstance(value, dict):
        return all(map(_exact, value.values()))
    if isinstance(value, list):
        return all(map(_exact, value))
    return not isinstance(value, int) or abs(value) <= _LARGEST_INTEGER


def _small(value: dict[str, Any]) -> dict[str, Any]:
    if not _exact(value):
        raise ValueError("must have no whole number beyond 2^53: send it as text")
    if len(to_json(value)) > _MOST_CUSTOM_BYTES:
        raise ValueError(f"must have at most {_MOST_CUSTOM_BYTES} bytes as JSON")
    return value


Email = Annotated[str, StringConstraints(min_length=3, max_length=254), AfterValidator(_email)]
Title = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Body = Annotated[str, StringConstraints(min_length=1, max_length=20_000)]
Comment = Annotated[str, StringConstraints(max_length=20_000)]
Language = Annotated[
    str, StringConstraints(max_length=35, pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$")
]
Reference = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Slug = Annotated[str, StringConstraints(max_length=63, pattern=r"^[a-z0-9][a-z0-9-]*$")]
Tags = Annotated[
    tuple[Annotated[str, StringConstraints(min_length=1, max_length=50)], ...],
    Field(max_length=50),
    AfterValidator(_tags),
]
OrderRefs = Annotated[
    tuple[Annotated[str, StringConstraints(min_length=1, max_length=100)], ...],
    Field(max_length=50),
]
CustomFields = Annotated[dict[str, Any], AfterValidator(_small)]
AttachmentIds = Annotated[
    tuple[UUID, ...],
    Field(max_length=MOST_FILES),
    AfterValidator(lambda ids: tuple(dict.fromkeys(ids))),
]
MOST_MENTIONS = 20
Mentions = Annotated[tuple[Email, ...], Field(max_length=MOST_MENTIONS)]


class SubmitterBody(RequestModel):
    """The person a ticket is for."""

    email: Email
    name: Annotated[str, StringConstraints(max_length=200)] | None = None
    tier: Annotated[str, StringConstraints(max_length=50)] | None = None


class TicketRequest(RequestModel):
    """A new ticket, as a product's topic has it."""

    type: TicketType
    title: Title
    description: Body
    priority: Priority | None = None
    submitter: SubmitterBody | None = None
    order_refs: OrderRefs | None = None
    tags: Tags | None = None
    custom_fields: CustomFields | None = None
    language: Language | None = None
    external_ref: Reference | None = None
    attachment_ids: AttachmentIds | None = None

    def draft(self) -> Draft:
        """What is asked for."""
        return Draft(
            type=self.type,
            title=self.title,
            description=self.description,
            priority=self.priority,
            language=self.language or "",
            tags=self.tags or (),
            custom_fields=self.custom_fields or {},
            order_refs=self.order_refs or (),
            external_ref=self.external_ref or "",
            attachment_ids=self.attachment_ids or (),
        )


class NewTicket(TicketRequest):
    """A new ticket, as REST has it."""

    product: Slug | None = None


class TicketPatch(RequestModel):
    """What is to be changed of a ticket; what is left out stays."""

    type: TicketType | None = None
    title: Title | None = None
    priority: Priority | None = None
    product: Slug | None = None
    language: Language | None = None
    tags: Tags | None = None
    custom_fields: CustomFields | None = None
    order_refs: OrderRefs | None = None
    outcome: Outcome | None = None

    def fields(self) -> dict[str, Any]:
        """The fields that were given, a null as the empty value where there is one."""
        empty: dict[str, Any] = {
            "language": "",
            "tags": (),
            "custom_fields": {},
            "order_refs": (),
            "outcome": None,
        }
        given: dict[str, Any] = {}
        for name in sorted(self.model_fields_set):
            value = getattr(self, name)
            if value is None and name not in empty:
                raise invalid_field(name, "must not be null: leave it out to keep it")
            given[name] = empty[name] if value is None else value
        if not given:
            raise invalid_field("", f"needs at least one of {', '.join(type(self).model_fields)}")
        return given


class Words(RequestModel):
    """What an agent is about to say: in their own words, or a quick reply's."""

    body: Body | None = None
    quick_reply_id: Annotated[str, StringConstraints(min_length=1, max_length=100)] | None = None


class NewMessage(Words):
    """A reply or an internal note; without a `body` the quick reply's words are sent.

    `mentions` are agents' addresses, beside those that stand as `@ana@example.com` in a note.
    """

    kind: MessageKind = MessageKind.REPLY
    mentions: Mentions | None = None
    attachment_ids: AttachmentIds | None = None


class NoteEdit(RequestModel):
    """The new words of a note."""

    body: Body
    mentions: Mentions | None = None


class Transition(RequestModel):
    """A move to another status."""

    to: Status
    reason: CloseReason | None = None
    comment: Comment | None = None


class MergeBody(RequestModel):
    """The ticket to merge into, by id or number."""

    into: Reference


class NewLink(RequestModel):
    """The ticket to link to, by id or number, and what it is to this one."""

    ticket: Reference
    kind: LinkKind = LinkKind.RELATED


class NewRating(RequestModel):
    """How the help was, from 1 (bad) to 5 (good)."""

    score: Annotated[int, Field(ge=1, le=5)]
    comment: Comment | None = None


class _Addressed(RequestModel):
    ticket_id: Reference | None = None
    external_ref: Reference | None = None

    @model_validator(mode="after")
    def _some_address(self) -> "_Addressed":
        if self.ticket_id is None and self.external_ref is None:
            raise ValueError("must have a ticket_id or an external_ref")
        return self


class MessageRequest(_Addressed):
    """A message, as a product's topic has it."""

    body: Body
    author: SubmitterBody | None = None
    attachment_ids: AttachmentIds | None = None


class ResolutionRequest(_Addressed):
    """A monitor's own "it recovered"."""

    comment: Comment | None = None
