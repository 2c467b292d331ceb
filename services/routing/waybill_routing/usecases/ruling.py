"""Rules: written, put in order, taken away, and tried on the tickets that came last."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from waybill_chassis import stored_settings
from waybill_chassis.database import UnitOfWork
from waybill_chassis.problems import Conflict, check_version, invalid_field

from waybill_routing.domain import (
    BuiltIn,
    Remark,
    Rule,
    Taken,
    Ticket,
    is_default,
    review,
    rule_for,
)
from waybill_routing.store import rules as store
from waybill_routing.store import ways
from waybill_routing.usecases.arranging import unknown

SCOPE = "*rules"
"""The scope of settings whose version is that of the list of rules."""

MOST_RULES = 500
_STEP = 10


async def add_rule(uow: UnitOfWork, rule: Rule, by: str) -> Rule:
    """A new rule; it counts for tickets that are placed from now on."""
    rules = await _changing(uow, by)
    if len(rules) > MOST_RULES:
        raise Conflict(f"There are {MOST_RULES} rules: take some away first.")
    await _check_queue(uow, rule.queue)
    if not await store.insert(uow, rule):
        raise Taken(f"There is a rule {rule.name} already.")
    return rule


async def change_rule(
    uow: UnitOfWork, name: str, changes: Mapping[str, Any], by: str, *, expected: int | None
) -> Rule:
    """Change what `changes` names; of the default rule the queue, and nothing else."""
    rules = await _changing(uow, by)
    was = found(rules, name)
    check_version(expected, was.version)
    now = replace(was, **changes)
    if now == was:
        return was
    if is_default(was) and replace(now, queue=was.queue) != was:
        raise BuiltIn("The default rule takes whatever is left: only its queue can be changed.")
    if any(one.name == now.name for one in rules if one.id != now.id):
        raise Taken(f"There is a rule {now.name} already.")
    await _check_queue(uow, now.queue)
    now = replace(now, version=was.version + 1)
    await store.update(uow, now)
    return now


async def remove_rule(uow: UnitOfWork, name: str, by: str, *, expected: int | None) -> None:
    """Take a rule away; the tickets that went by it stay where they are."""
    was = found(await _changing(uow, by), name)
    check_version(expected, was.version)
    if is_default(was):
        raise BuiltIn("The default rule takes whatever is left: it stays.")
    await store.delete(uow, was.id)


async def order_rules(
    uow: UnitOfWork, names: Sequence[str], by: str, *, expected: int | None
) -> list[Rule]:
    """Ask the rules in this order; the default one, which need not be named, is the last."""
    check_version(expected, (await stored_settings.lock(uow, SCOPE)).version)
    rules = {rule.name: rule for rule in await _changing(uow, by) if not is_default(rule)}
    wanted = [name for name in names if name != "default"]
    if missing := rules.keys() - set(wanted):
        raise invalid_field("order", f"must name every rule: not there {_some(missing)}")
    if strange := set(wanted) - rules.keys():
        raise invalid_field("order", f"must name rules that there are: not {_some(strange)}")
    placed = [
        replace(rules[name], position=_STEP * place) for place, name in enumerate(wanted, start=1)
    ]
    await store.place(uow, placed)
    return await store.everything(uow.connection)


@dataclass(frozen=True, slots=True)
class Tried:
    """Which rule takes a ticket now, and which would."""

    ticket: Ticket
    now: Rule
    then: Rule
    text_unknown: bool
    """A rule that was passed over asks for the text, which is not kept."""


def try_rules(now: Sequence[Rule], then: Sequence[Rule], tickets: Sequence[Ticket]) -> list[Tried]:
    """What each ticket would meet under `then`."""
    return [
        Tried(
            ticket,
            rule_for(ticket, now),
            taker := rule_for(ticket, then),
            text_unknown=not ticket.text and _could(then, taker, ticket),
        )
        for ticket in tickets
    ]


def counted(tried: Sequence[Tried]) -> Counter[str]:
    """How many of the tickets each rule takes."""
    return Counter(one.then.name for one in tried)


def found(rules: Sequence[Rule], name: str) -> Rule:
    """The rule with this name or id; `Unknown` when there is none."""
    for rule in rules:
        if name in (rule.name, str(rule.id)):
            return rule
    raise unknown("rule", name)


async def remarks(uow: UnitOfWork) -> list[Remark]:
    """What is odd about the rules as they are now."""
    return review(await store.everything(uow.connection))


async def version(uow: UnitOfWork) -> int:
    """That of the list: it rises with every change of a rule."""
    return (await stored_settings.read_document(uow.connection, SCOPE)).version


async def _changing(uow: UnitOfWork, by: str) -> list[Rule]:
    """All rules; nobody else changes any until the commit."""
    before = await stored_settings.lock(uow, SCOPE)
    await stored_settings.write(uow, SCOPE, before, {}, by)
    return await store.everything(uow.connection)


async def _check_queue(uow: UnitOfWork, queue: str) -> None:
    queues, _ = await ways.ways(uow.connection)
    if queue not in queues:
        raise invalid_field("queue", f"must be one of {', '.join(queues)}")


def _could(rules: Sequence[Rule], taker: Rule, ticket: Ticket) -> bool:
    """Whether a rule before the one that takes it would, if only its text were right."""
    before = rules[: rules.index(taker)]
    bare = [replace(rule, text=()) for rule in before if rule.text]
    return bool(bare) and rule_for(ticket, [*bare, taker]) is not taker


def _some(names: set[str]) -> str:
    listed = sorted(names)
    more = f" and {len(listed) - 5} more" if len(listed) > 5 else ""
    return f"{', '.join(listed[:5])}{more}"
