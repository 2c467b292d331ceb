"""How a queue's tickets find their agents: pure functions over what a desk holds."""

from waybill_routing.domain.strategies.asked import Ask, Choice, Knowledge, due
from waybill_routing.domain.strategies.haste import Band, Haste, Order, haste
from waybill_routing.domain.strategies.matching import best_pairs
from waybill_routing.domain.strategies.one_by_one import choose
from waybill_routing.domain.strategies.roster import Roster
from waybill_routing.domain.strategies.smart import Emphasis, match

__all__ = [
    "Ask",
    "Band",
    "Choice",
    "Emphasis",
    "Haste",
    "Knowledge",
    "Order",
    "Roster",
    "best_pairs",
    "choose",
    "due",
    "haste",
    "match",
]
