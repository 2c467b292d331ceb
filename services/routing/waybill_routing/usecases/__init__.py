"""What routing does. None of these commits: the edge does."""

from waybill_routing.usecases.accepting import recall
from waybill_routing.usecases.arranging import (
    add_queue,
    add_team,
    change_queue,
    change_team,
    remove_queue,
    remove_team,
)
from waybill_routing.usecases.asking import change, claim, give_back, hand_over, next_ticket
from waybill_routing.usecases.attending import hush, keep_duty, see, wake
from waybill_routing.usecases.hearing import correct, drain, hear, learn
from waybill_routing.usecases.ruling import add_rule, change_rule, order_rules, remove_rule
from waybill_routing.usecases.staffing import (
    add_agent,
    appear,
    change_agent,
    recount,
    remove_agent,
    the_agent,
)

__all__ = [
    "add_agent",
    "add_queue",
    "add_rule",
    "add_team",
    "appear",
    "change",
    "change_agent",
    "change_queue",
    "change_rule",
    "change_team",
    "claim",
    "correct",
    "drain",
    "give_back",
    "hand_over",
    "hear",
    "hush",
    "keep_duty",
    "learn",
    "next_ticket",
    "order_rules",
    "recall",
    "recount",
    "remove_agent",
    "remove_queue",
    "remove_rule",
    "remove_team",
    "see",
    "the_agent",
    "wake",
]
