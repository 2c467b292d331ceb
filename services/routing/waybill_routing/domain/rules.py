"""Which rule takes a ticket."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from uuid import UUID

from waybill_routing.domain.entities import Rule, Ticket

DEFAULT_RULE = UUID("00000000-0000-0000-0000-000000000001")
"""The rule for whatever no other speaks of: the last one, which asks nothing and stays."""

DEFAULT_POSITION = 1_000_000

CONDITIONS = (
    "product",
    "type",
    "priority",
    "language",
    "tier",
    "tags_any",
    "tags_all",
    "text",
)
"""What a rule may ask of a ticket."""

# Scripts that put no spaces between words are read sign by sign.
_SIGNS = r"\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_SIGNS}]|[^\W{_SIGNS}]+")


def is_default(rule: Rule) -> bool:
    """Whether it is the one for whatever no other speaks of."""
    return rule.id == DEFAULT_RULE


def words(text: str) -> str:
    """The words of a text in small letters, a space before and after each."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return f" {' '.join(_WORD.findall(plain))} "


def matches(rule: Rule, ticket: Ticket, said: str | None = None) -> bool:
    """Whether the rule speaks of such a ticket; `said` are the words of its text, if known."""
    return (
        rule.enabled
        and _one_of(rule.product, ticket.product)
        and _one_of(rule.type, ticket.type)
        and _one_of(rule.priority, ticket.priority)
        and _one_of(rule.tier, ticket.tier.lower())
        and (not rule.language or _speaks(rule.language, ticket.language.lower()))
        and (not rule.tags_any or any(tag in ticket.tags for tag in rule.tags_any))
        and all(tag in ticket.tags for tag in rule.tags_all)
        and (not rule.text or says(rule.text, words(ticket.text) if said is None else said))
    )


def rule_for(ticket: Ticket, rules: Sequence[Rule]) -> Rule:
    """The first rule, by position, that matches; the default rule always does."""
    said = words(ticket.text) if any(rule.text for rule in rules) else ""
    return next(rule for rule in rules if matches(rule, ticket, said))


def says(phrases: Iterable[str], said: str) -> bool:
    """Whether one of the phrases is in the words said: whole words, one after the other.

    A `*` at the end of a phrase stands for the rest of a word.
    """
    return any(_sought(phrase) in said for phrase in phrases)


@lru_cache(maxsize=4096)
def _sought(phrase: str) -> str:
    return words(phrase).rstrip() if phrase.endswith("*") else words(phrase)


def _one_of(values: tuple[str, ...], value: str) -> bool:
    return not values or value in values


def _speaks(languages: Iterable[str], language: str) -> bool:
    """`pt` is any Portuguese, `pt-br` that of Brazil only."""
    return any(language == one or language.startswith(f"{one}-") for one in languages)
