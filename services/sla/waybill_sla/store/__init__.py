"""Tables and every SQL statement."""

from waybill_sla.store.agreed import Stamp, agreement, policies, stamp
from waybill_sla.store.clocks import (
    Loaded,
    Timer,
    clocks,
    lock,
)
from waybill_sla.store.holdings import Told, keep_attendance, keep_holdings
from waybill_sla.store.ledgers import whole
from waybill_sla.store.lists import changed_after, id_of_number, sequences
from waybill_sla.store.outcomes import judge_anew
from waybill_sla.store.saving import Changed, save
from waybill_sla.store.timers import Claimed, Span, claim, near

__all__ = [
    "Changed",
    "Claimed",
    "Loaded",
    "Span",
    "Stamp",
    "Timer",
    "Told",
    "agreement",
    "changed_after",
    "claim",
    "clocks",
    "id_of_number",
    "judge_anew",
    "keep_attendance",
    "keep_holdings",
    "lock",
    "near",
    "policies",
    "save",
    "sequences",
    "stamp",
    "whole",
]
