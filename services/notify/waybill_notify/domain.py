"""What is sent to whom, how often it is tried, and when it is given up. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from waybill_chassis.problems import Conflict, NotFound

SLUG = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
"""A product that topics can be named after."""

_ADDRESS = re.compile(r"[^\s@<>(),;:\\\"\[\]]+@[^\s@<>(),;:\\\"\[\]]+")


class State(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"
    SUPPRESSED = "suppressed"


class Template(StrEnum):
    """The mails that there are."""

    RECEIPT = "receipt"
    AGENT_REPLY = "agent_reply"
    RESOLVED = "resolved"
    CLOSED = "closed"
    REMINDER = "reminder"
    OUTCOME = "outcome"


class What(StrEnum):
    """What happened to a ticket, in the feed's words."""

    OPENED = "opened"
    EDITED = "edited"
    STATUS_CHANGED = "status_changed"
    MESSAGE_POSTED = "message_posted"
    REMINDER_POSTED = "reminder_posted"
    ATTACHMENT_ADDED = "attachment_added"
    MERGED = "merged"
    LINKED = "linked"
    RATED = "rated"
    ASSIGNED = "assigned"


WITH_LINKS = frozenset({Template.RECEIPT, Template.RESOLVED, Template.CLOSED})
"""What lets the submitter act, so that intake is asked for links."""

OF_STATUS = frozenset({Template.RESOLVED, Template.CLOSED, Template.REMINDER, Template.OUTCOME})
"""What speaks of how things stand: pointless once something newer is known."""

UNASKED = frozenset({Template.RECEIPT, Template.REMINDER})
"""Sent by the automation, so that no out-of-office answers it (RFC 3834)."""


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody, as far as a mail is concerned. `kind` is `submitter`, `agent`, ..."""

    kind: str
    id: str = ""
    name: str = ""
    email: str = ""

    def is_same_as(self, other: "Person") -> bool:
        """Whether both are one person: by address, else by id."""
        if self.email and other.email:
            return self.email.casefold() == other.email.casefold()
        return bool(self.id) and self.id in (other.id, other.email)


@dataclass(frozen=True, slots=True)
class Happening:
    """A public fact about a ticket, as far as it matters for who is written to."""

    what: What
    actor: Person
    submitter: Person | None
    number: str
    product: str
    title: str
    description: str = ""
    language: str = ""
    body: str = ""
    comment: str = ""
    status: str = ""
    close_reason: str = ""
    reminder: int = 0
    outcome: str = ""
    """What becomes of a complaint or a suggestion, if that is what was decided."""


@dataclass(frozen=True, slots=True)
class Request:
    """A mail that a fact asks for: the template, for whom, and what goes into it."""

    template: Template
    recipient: str
    facts: Mapping[str, Any] = field(default_factory=dict)


def _template_for(fact: Happening) -> Template | None:
    by_submitter = fact.submitter is not None and (
        fact.actor.kind == "submitter" or fact.actor.is_same_as(fact.submitter)
    )
    match fact.what:
        case What.OPENED:
            template = Template.RECEIPT
        case What.MESSAGE_POSTED if fact.actor.kind == "agent" and not by_submitter:
            template = Template.AGENT_REPLY
        case What.STATUS_CHANGED if fact.status == "resolved" and not by_submitter:
            template = Template.RESOLVED
        case What.STATUS_CHANGED if (
            fact.status == "closed" and fact.close_reason != "duplicate" and not by_submitter
        ):
            template = Template.CLOSED
        case What.REMINDER_POSTED:
            template = Template.REMINDER
        case What.EDITED if fact.outcome:
            template = Template.OUTCOME
        case _:
            return None
    return template


def request_for(fact: Happening, *, stale: bool = False) -> Request | None:
    """The mail that `fact` asks for, or None.

    Never to nobody, and never to somebody about what they did themselves, but for the receipt.
    `stale`: something newer is known of the ticket; then only what stays true is still sent.
    """
    template = _template_for(fact)
    if template is None or fact.submitter is None or not fact.submitter.email:
        return None
    if stale and template in OF_STATUS:
        return None
    facts: dict[str, Any] = {
        "number": fact.number,
        "title": fact.title,
        "product": fact.product,
        "name": fact.submitter.name,
        "language": fact.language,
    }
    match template:
        case Template.RECEIPT:
            facts["description"] = fact.description
        case Template.AGENT_REPLY:
            facts |= {"body": fact.body, "agent": fact.actor.name}
        case Template.RESOLVED:
            facts |= {"comment": fact.comment}
        case Template.CLOSED:
            facts |= {"comment": fact.comment, "close_reason": fact.close_reason}
        case Template.REMINDER:
            facts |= {"reminder": fact.reminder}
        case Template.OUTCOME:
            facts |= {"outcome": fact.outcome}
    return Request(template, fact.submitter.email.strip(), facts)


@dataclass(frozen=True, slots=True)
class Delivery:
    """One mail to one person: a line of the ledger."""

    id: UUID
    ticket_id: UUID
    product: str
    event_id: str
    event_type: str
    event_source: str
    template: str
    channel: str
    recipient: str
    state: State
    attempts: int
    revived_after: int
    message_id: str
    facts: Mapping[str, Any]
    subject: str | None
    text_body: str | None
    html_body: str | None
    unsubscribe_url: str | None
    created_at: datetime
    waiting_since: datetime
    updated_at: datetime
    next_attempt_at: datetime | None
    delivered_at: datetime | None
    claim: UUID | None
    last_error: str
    traceparent: str | None
    tracestate: str | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a delivery, as the ledger keeps it."""

    number: int
    started_at: datetime
    ended_at: datetime
    outcome: str
    detail: str
    traceparent: str | None


class Knowledge(StrEnum):
    """What the knowledge base had to say for a receipt."""

    NONE = "none"
    FOUND = "found"


class Verdict(StrEnum):
    """How an attempt ended."""

    ACCEPTED = "accepted"
    TEMPORARY = "temporary"
    PERMANENT = "permanent"
    AWAY = "away"
    """The mail server took nothing in from anybody: no attempt at this mail."""
    NOT_BEGUN = "not_begun"
    """There was no time left for it: no attempt either."""


NOT_TRIED = frozenset({Verdict.AWAY, Verdict.NOT_BEGUN})


@dataclass(frozen=True, slots=True)
class Outcome:
    """How an attempt ended, and what the other side said, in words for an operator."""

    verdict: Verdict
    detail: str = ""


def verdict_of(code: int) -> Verdict:
    """What an SMTP reply code means (RFC 5321): 5xx never, anything else maybe later."""
    return Verdict.PERMANENT if 500 <= code <= 599 else Verdict.TEMPORARY


def is_address(text: str) -> bool:
    """Whether a mail can be addressed to `text`; never with a line break or a second address."""
    return len(text) <= 320 and text.isprintable() and _ADDRESS.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """At most `attempts`, with pauses that grow by `factor` from `first` to `most`.

    Each pause is varied by the share `jitter` either way. `patience` bounds how long a delivery
    waits for a mail server that is away altogether, which costs no attempt.
    """

    attempts: int
    first: timedelta
    factor: float
    most: timedelta
    jitter: float
    patience: timedelta

    def pause(self, attempts: int, chance: float) -> timedelta:
        """How long to wait after so many failed attempts; `chance` from 0 to 1."""
        grown = self.first.total_seconds() * self.factor ** min(attempts - 1, 50)
        bounded = min(grown, self.most.total_seconds())
        return timedelta(seconds=bounded * (1 + self.jitter * (2 * chance - 1)))


AWAY_PAUSE = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Change:
    """What an attempt makes of a delivery."""

    state: State
    attempts: int
    next_attempt_at: datetime | None
    last_error: str


def after_attempt(
    delivery: Delivery, outcome: Outcome, *, now: datetime, policy: RetryPolicy, chance: float
) -> Change:
    """Where the delivery stands after an attempt; its `attempts` counts this one already."""
    tried = delivery.attempts
    match outcome.verdict:
        case Verdict.ACCEPTED:
            return Change(State.DELIVERED, tried, None, delivery.last_error)
        case Verdict.NOT_BEGUN:
            return Change(State.PENDING, tried - 1, now, delivery.last_error)
        case Verdict.AWAY:
            if now - delivery.waiting_since >= policy.patience:
                return Change(State.DEAD, tried - 1, None, outcome.detail)
            return Change(State.PENDING, tried - 1, now + AWAY_PAUSE, outcome.detail)
        case Verdict.TEMPORARY if tried - delivery.revived_after < policy.attempts:
            pause = policy.pause(tried - delivery.revived_after, chance)
            return Change(State.PENDING, tried, now + pause, outcome.detail)
    return Change(State.DEAD, tried, None, outcome.detail)


class NoSuchDelivery(NotFound):
    """There is none, or none that the caller may see."""

    def __init__(self) -> None:
        super().__init__("There is no such delivery.")


class Unsubscribed(Conflict):
    """Nobody is written to against their will, not even by hand."""

    def __init__(self) -> None:
        super().__init__("The submitter wants no more messages about this ticket.")


class NotDead(Conflict):
    """Only what was given up can be tried again by hand."""

    def __init__(self, state: State) -> None:
        super().__init__(
            f"This delivery is {state}; only a dead one can be tried again.", state=str(state)
        )
