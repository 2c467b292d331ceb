"""What is odd about a list of rules: those that never match, match everything, or contradict."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import product, takewhile

from waybill_routing.domain.entities import Rule
from waybill_routing.domain.rules import CONDITIONS, is_default, says, words
from waybill_routing.domain.words import Priority, TicketType

_TYPES, _PRIORITIES = frozenset(TicketType), frozenset(Priority)


class Oddity(StrEnum):
    """In what way a rule is odd."""

    NEVER_MATCHES = "never_matches"
    MATCHES_EVERYTHING = "matches_everything"
    CONTRADICTS = "contradicts"


@dataclass(frozen=True, slots=True)
class Remark:
    """Something about a rule, and the others that it is about."""

    rule: str
    oddity: Oddity
    message: str
    others: tuple[str, ...] = ()


def review(rules: Sequence[Rule]) -> list[Remark]:
    """What is odd about the enabled ones of these rules, in the order they are asked."""
    asked = [rule for rule in rules if rule.enabled]
    return [
        remark
        for place, rule in enumerate(asked)
        if not is_default(rule)
        for remark in _remarks(rule, asked[:place], asked[place + 1 :])
    ]


def _remarks(rule: Rule, earlier: Sequence[Rule], later: Sequence[Rule]) -> Iterator[Remark]:
    conditions = _conditions(rule)
    same = next((one for one in earlier if _conditions(one) == conditions), None)
    if same is not None and same.queue != rule.queue:
        yield Remark(
            rule.name,
            Oddity.CONTRADICTS,
            f"asks the same as {same.name}, which comes first and leads to {same.queue}",
            (same.name,),
        )
    elif shadows := _shadows(rule, earlier):
        yield Remark(
            rule.name,
            Oddity.NEVER_MATCHES,
            f"whatever it speaks of is taken by {' and '.join(shadows)} before",
            shadows,
        )
    elif not any(conditions):
        after = tuple(one.name for one in later if not is_default(one))
        rest = f": {', '.join(after)} will never be asked" if after else ", like the default rule"
        yield Remark(rule.name, Oddity.MATCHES_EVERYTHING, f"takes every ticket{rest}", after)
    level = tuple(
        one.name
        for one in takewhile(lambda one: one.position == rule.position, later)
        if one.queue != rule.queue and _may_both(rule, one)
    )
    if level:
        yield Remark(
            rule.name,
            Oddity.CONTRADICTS,
            f"stands at the same position as {', '.join(level)}, which a ticket can fit as well",
            level,
        )


def _conditions(rule: Rule) -> tuple[frozenset[str], ...]:
    """What it asks; all types or all priorities is as good as none."""
    found = [frozenset(getattr(rule, name)) for name in CONDITIONS]
    return tuple(
        frozenset() if values in (_TYPES, _PRIORITIES) else values
        for values in (frozenset(map(str, one)) for one in found)
    )


def _shadows(rule: Rule, earlier: Sequence[Rule]) -> tuple[str, ...]:
    """The earlier rules that together take all it speaks of; none if something is left."""
    others = [one for one in earlier if _covers(one, rule)]
    takers: set[str] = set()
    for type, priority in product(rule.type or _TYPES, rule.priority or _PRIORITIES):
        taker = next(
            (
                one.name
                for one in others
                if (not one.type or type in one.type)
                and (not one.priority or priority in one.priority)
            ),
            None,
        )
        if taker is None:
            return ()
        takers.add(taker)
    return tuple(one.name for one in others if one.name in takers)


def _covers(one: Rule, other: Rule) -> bool:
    """Whether, but for type and priority, whatever fits `other` fits `one`."""
    return (
        _within(other.product, one.product)
        and _within(other.tier, one.tier)
        and (not one.language or (bool(other.language) and _speaks_within(other, one)))
        and set(one.tags_all) <= _needed(other)
        and (
            not one.tags_any
            or (bool(other.tags_any) and set(other.tags_any) <= set(one.tags_any))
            or bool(_needed(other) & set(one.tags_any))
        )
        and (
            not one.text
            or (bool(other.text) and all(says(one.text, _as_said(p)) for p in other.text))
        )
    )


def _within(inner: Sequence[str], outer: Sequence[str]) -> bool:
    return not outer or (bool(inner) and set(inner) <= set(outer))


def _speaks_within(other: Rule, one: Rule) -> bool:
    return all(
        any(inner == outer or inner.startswith(f"{outer}-") for outer in one.language)
        for inner in other.language
    )


def _needed(rule: Rule) -> set[str]:
    """The tags that a ticket must have to fit it."""
    return set(rule.tags_all) | (set(rule.tags_any) if len(rule.tags_any) == 1 else set())


def _as_said(phrase: str) -> str:
    return words(phrase).rstrip() if phrase.endswith("*") else words(phrase)


def _may_both(one: Rule, other: Rule) -> bool:
    """Whether a ticket can fit both: it has one product, type, priority, tier and language."""
    return all(
        not mine or not theirs or set(mine) & set(theirs)
        for mine, theirs in (
            (one.product, other.product),
            (one.type, other.type),
            (one.priority, other.priority),
            (one.tier, other.tier),
        )
    ) and (
        not one.language
        or not other.language
        or any(
            f"{mine}-".startswith(f"{theirs}-") or f"{theirs}-".startswith(f"{mine}-")
            for mine in one.language
            for theirs in other.language
        )
    )
