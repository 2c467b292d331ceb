"""What routing does. None of these commits: the edge does."""

from waybill_routing.usecases.asking import change, claim, give_back, hand_over, next_ticket
from waybill_routing.usecases.hearing import correct, drain, hear, learn
from waybill_routing.usecases.staffing import (
    add_agent,
    add_rule,
    add_team,
    change_agent,
    recount,
    the_agent,
)

__all__ = [
    "add_agent",
    "add_rule",
    "add_team",
    "change",
    "change_agent",
    "claim",
    "correct",
    "drain",
    "give_back",
    "hand_over",
    "hear",
    "learn",
    "next_ticket",
    "recount",
    "the_agent",
]
