"""Bodies and answers about rules."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StringConstraints,
    model_validator,
)
from waybill_chassis.http import RequestModel, ResponseModel

from waybill_routing.domain import (
    CONDITIONS,
    DEFAULT_POSITION,
    Oddity,
    Priority,
    Remark,
    Rule,
    TicketType,
    words,
)
from waybill_routing.http.models import Slug, refuse_null

_MOST_VALUES = 50
MOST_TICKETS = 500
MOST_RULES_TRIED = 50


def _several(value: Any) -> Any:
    """One value is a list of one."""
    return [value] if isinstance(value, str) else value


def _once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(dict.fromkeys(values))


def _sayable(phrase: str) -> str:
    if not words(phrase).strip():
        raise ValueError("must have a letter or a digit, else no text ever says it")
    return phrase


_Product = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]*$", max_length=63)]
_Language = Annotated[
    str,
    StringConstraints(to_lower=True, max_length=35, pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$"),
]
_Word = Annotated[str, StringConstraints(min_length=1, max_length=50, to_lower=True)]
_Phrase = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_sayable)]
_LIST = (BeforeValidator(_several), Field(max_length=_MOST_VALUES), AfterValidator(_once))
_Products = Annotated[tuple[_Product, ...], *_LIST]
_Types = Annotated[tuple[TicketType, ...], *_LIST]
_Priorities = Annotated[tuple[Priority, ...], *_LIST]
_Languages = Annotated[tuple[_Language, ...], *_LIST]
_Words = Annotated[tuple[_Word, ...], *_LIST]
_Phrases = Annotated[tuple[_Phrase, ...], *_LIST]
_Position = Annotated[
    int, Field(ge=0, lt=DEFAULT_POSITION, description="The lowest one is asked first.")
]


class Conditions(RequestModel):
    """What a rule asks of a ticket: one of the values of each; nothing means anything will do."""

    product: _Products = ()
    type: _Types = ()
    priority: _Priorities = ()
    language: _Languages = ()
    tier: _Words = ()
    tags_any: _Words = ()
    tags_all: _Words = ()
    text: _Phrases = ()


class NewRule(Conditions):
    """A rule to add: such tickets go to this queue."""

    name: Slug | None = None
    queue: Slug
    position: _Position = 100
    enabled: bool = True

    def rule(self, id: UUID) -> Rule:
        """The rule it says; without a name of its own it gets one."""
        asked: dict[str, Any] = {name: getattr(self, name) for name in CONDITIONS}
        return Rule(
            id=id,
            position=self.position,
            queue=self.queue,
            name=self.name or f"rule-{str(id)[-12:]}",
            enabled=self.enabled,
            **asked,
        )


class RuleChange(RequestModel):
    """What is to change about a rule; what is left out stays."""

    name: Slug | None = None
    queue: Slug | None = None
    position: _Position | None = None
    enabled: bool | None = None
    product: _Products | None = None
    type: _Types | None = None
    priority: _Priorities | None = None
    language: _Languages | None = None
    tier: _Words | None = None
    tags_any: _Words | None = None
    tags_all: _Words | None = None
    text: _Phrases | None = None

    _whole = model_validator(mode="after")(refuse_null)

    def changes(self) -> dict[str, Any]:
        """What it names."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class RuleBody(Conditions):
    """A rule whole, in place of what it said; what is left out is as for a new one."""

    queue: Slug
    position: _Position = 100
    enabled: bool = True

    def changes(self) -> dict[str, Any]:
        """All that it says."""
        return {name: getattr(self, name) for name in type(self).model_fields}


class Order(RequestModel):
    """The names of all rules in the order they are to be asked; the default one is the last."""

    order: Annotated[tuple[Slug, ...], Field(max_length=1000), AfterValidator(_once)]


class Trial(RequestModel):
    """Rules to try beside those there are, each in place of the one of its name, if any."""

    last: Annotated[int, Field(ge=1, le=MOST_TICKETS, description="So many tickets.")] = 100
    product: _Product | None = None
    rules: Annotated[tuple[NewRule, ...], Field(max_length=MOST_RULES_TRIED)] = ()


class RuleAnswer(ResponseModel):
    """A rule."""

    id: UUID
    name: str
    position: int
    queue: str
    enabled: bool
    product: list[str]
    type: list[str]
    priority: list[str]
    language: list[str]
    tier: list[str]
    tags_any: list[str]
    tags_all: list[str]
    text: list[str]
    version: int


class RemarkAnswer(ResponseModel):
    """Something odd about a rule; `others` are those that it has to do with."""

    rule: str
    oddity: Oddity
    message: str
    others: list[str]

    @classmethod
    def all_of(cls, remarks: list[Remark]) -> "list[RemarkAnswer]":
        """Remarks as REST shows them."""
        return [cls.model_validate(remark) for remark in remarks]


class RuleWithRemarks(RuleAnswer):
    """A rule, and what is odd about the whole list with it."""

    remarks: list[RemarkAnswer]

    @classmethod
    def of(cls, rule: Rule, remarks: list[Remark]) -> "RuleWithRemarks":
        """The rule as REST shows one that was written."""
        shown = RuleAnswer.model_validate(rule).model_dump()
        return cls(**shown, remarks=RemarkAnswer.all_of(remarks))


class RulesPage(ResponseModel):
    """Rules in the order they are asked, and what is odd about the whole list."""

    items: list[RuleAnswer]
    next_cursor: str | None
    remarks: list[RemarkAnswer]


class TakenAnswer(ResponseModel):
    """A rule of a trial, and how many of the tickets it takes."""

    name: str
    queue: str
    takes: int


class TriedAnswer(ResponseModel):
    """A ticket of a trial: which rule takes it, and which does as the rules are now.

    `text_unknown`: a rule before asks for words, and intake could not be asked for the text.
    """

    ticket_id: UUID
    product: str
    type: str
    priority: str
    rule: str
    queue: str
    rule_now: str
    queue_now: str
    text_unknown: bool


class TrialAnswer(ResponseModel):
    """What rules mean for the tickets that came last, newest first."""

    tickets: list[TriedAnswer]
    rules: list[TakenAnswer]
    changed: int
    text_unknown: int
    remarks: list[RemarkAnswer]
