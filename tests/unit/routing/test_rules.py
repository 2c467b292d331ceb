"""Which rule takes a ticket, and what is odd about a list of rules."""

from typing import Any
from uuid import UUID

import pytest
from waybill_routing.domain import Oddity, Rule, Ticket, matches, review, rule_for
from waybill_routing.domain.rules import DEFAULT_POSITION, DEFAULT_RULE
from waybill_routing.domain.words import Priority, TicketType

DEFAULT = Rule(DEFAULT_RULE, DEFAULT_POSITION, "support", name="default")


def rule(name: str, queue: str = "tech_team", position: int = 10, **asked: Any) -> Rule:
    number = int.from_bytes(name.encode(), "big")
    return Rule(UUID(int=number + 2), position, queue, name=name, **asked)


def ticket(**facts: Any) -> Ticket:
    return Ticket(**({"id": UUID(int=1), "product": "demo", "type": "order"} | facts))


@pytest.mark.parametrize(
    ("asked", "facts", "fits"),
    [
        ({"product": ("shop", "demo")}, {}, True),
        ({"product": ("shop",)}, {}, False),
        ({"type": ("order",), "priority": ("urgent",)}, {"priority": "low"}, False),
        ({"language": ("pt",)}, {"language": "pt-BR"}, True),
        ({"language": ("pt-br",)}, {"language": "pt-PT"}, False),
        ({"language": ("pt",)}, {"language": "ptx"}, False),
        ({"tier": ("gold",)}, {"tier": "Gold"}, True),
        ({"tags_any": ("vip", "fire")}, {"tags": ("fire", "x")}, True),
        ({"tags_all": ("vip", "fire")}, {"tags": ("fire", "x")}, False),
        ({"tags_any": ("vip",), "tags_all": ("x",)}, {"tags": ("vip", "x")}, True),
        ({"text": ("Credit card",)}, {"text": "my CREDIT  card!"}, True),
        ({"text": ("credit card",)}, {"text": "credit, then a card"}, False),
        ({"text": ("art",)}, {"text": "a cart"}, False),
        ({"text": ("refund*",)}, {"text": "Refunding, please"}, True),
        ({"text": ("refund*",)}, {"text": "a nonrefundable one"}, False),
        ({"text": ("straße",)}, {"text": "STRASSE"}, True),
        ({"text": ("退款",)}, {"text": "我要退款谢谢"}, True),
        ({"text": ("refund",)}, {"text": ""}, False),
        ({"enabled": False}, {}, False),
    ],
)
def test_a_rule_takes_what_has_one_of_each_of_its_values(
    asked: dict[str, Any], facts: dict[str, Any], fits: bool
) -> None:
    """All tags of `tags_all`; words whole and in their order, whatever their case."""
    assert matches(rule("it", **asked), ticket(**facts)) is fits


def test_the_first_rule_that_fits_takes_the_ticket() -> None:
    """The default one whatever is left."""
    rules = [
        rule("off", enabled=False),
        rule("words", text=("smoke",)),
        rule("orders", type=("order",)),
        DEFAULT,
    ]
    assert rule_for(ticket(), rules).name == "orders"
    assert rule_for(ticket(text="Smoke!"), rules).name == "words"
    assert rule_for(ticket(type="account"), rules).name == "default"


def odd(*rules: Rule) -> list[tuple[str, Oddity, tuple[str, ...]]]:
    return [(one.rule, one.oddity, one.others) for one in review([*rules, DEFAULT])]


def test_rules_that_are_apart_are_not_odd() -> None:
    """The default rule neither, nor one that is switched off."""
    assert odd() == []
    assert (
        odd(
            rule("a", type=("order",), tags_any=("x", "y")),
            rule("b", type=("order",), tags_any=("y", "z")),
            rule("c", text=("refund",)),
            rule("d", text=("refund now*",), enabled=False),
            rule("e", type=("order",)),
        )
        == []
    )


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        ({"product": ("demo", "shop")}, {"product": ("demo",), "tier": ("gold",)}),
        ({"language": ("pt",)}, {"language": ("pt-br", "pt-pt")}),
        ({"tags_any": ("x", "y")}, {"tags_all": ("y", "z")}),
        ({"tags_all": ("x",)}, {"tags_any": ("x",), "priority": ("low",)}),
        ({"text": ("refund*", "money")}, {"text": ("full refunds", "my money back")}),
        ({"type": tuple(TicketType)}, {"priority": ("low",)}),
    ],
)
def test_a_rule_behind_a_wider_one_never_matches(
    wide: dict[str, Any], narrow: dict[str, Any]
) -> None:
    """The other way round it does."""
    found = odd(rule("wide", **wide), rule("narrow", **narrow))
    assert ("narrow", Oddity.NEVER_MATCHES, ("wide",)) in found
    back = odd(rule("narrow", **narrow), rule("wide", **wide))
    assert Oddity.NEVER_MATCHES not in {oddity for _, oddity, _ in back}


def test_several_rules_together_can_leave_nothing_to_a_later_one() -> None:
    """Type by type, priority by priority."""
    rest = tuple(one for one in Priority if one != "urgent")
    rules = [
        rule("hot", priority=("urgent",)),
        rule("cool", priority=rest, product=("demo",)),
        rule("none", product=("demo",), type=("order",)),
        rule("some", type=("order",)),
    ]
    assert odd(*rules) == [("none", Oddity.NEVER_MATCHES, ("hot", "cool"))]


def test_a_rule_that_takes_everything_is_pointed_out_with_those_behind_it() -> None:
    """These never match, then."""
    assert odd(rule("all"), rule("late", type=("order",))) == [
        ("all", Oddity.MATCHES_EVERYTHING, ("late",)),
        ("late", Oddity.NEVER_MATCHES, ("all",)),
    ]
    every = rule("every", type=tuple(TicketType), priority=tuple(Priority))
    assert odd(every) == [("every", Oddity.MATCHES_EVERYTHING, ())]


def test_rules_that_ask_the_same_and_lead_elsewhere_contradict_one_another() -> None:
    """So do those at one position of which a ticket can fit both."""
    same = {"type": ("order",), "tags_any": ("x", "y")}
    turned = {"type": ("order",), "tags_any": ("y", "x")}
    assert odd(rule("a", **same), rule("b", "management", 20, **turned)) == [
        ("b", Oddity.CONTRADICTS, ("a",))
    ]
    assert odd(rule("a", type=("order",)), rule("b", "management", product=("demo",))) == [
        ("a", Oddity.CONTRADICTS, ("b",))
    ]
    assert odd(rule("a", type=("order",)), rule("b", "management", type=("account",))) == []


def test_a_long_list_is_reviewed_and_a_long_text_searched_in_no_time() -> None:
    """No phrase is a pattern that could run away."""
    rules = [
        rule(f"r{number}", position=number, tags_any=(f"t{number}",), text=("a " * 90 + "b",))
        for number in range(300)
    ]
    assert review([*rules, DEFAULT]) == []
    assert rule_for(ticket(text="a " * 10_000, tags=("t299",)), [*rules, DEFAULT]) is DEFAULT
