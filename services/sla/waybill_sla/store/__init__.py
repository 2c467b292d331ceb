"""Tables and every SQL statement."""

from waybill_sla.store.agreed import Stamp, agreement, policies, stamp
from waybill_sla.store.clocks import (
    Loaded,
    Timer,
    clocks,
    lock,
)
from waybill_sla.store.ledgers import whole
from waybill_sla.store.lists import AtRisk, at_risk, changed_after, id_of_number, sequences
from waybill_sla.store.saving import Changed, save
from waybill_sla.store.timers import Claimed, Span, claim, near

__all__ = [
    "AtRisk",
    "Changed",
    "Claimed",
    "Loaded",
    "Span",
    "Stamp",
    "Timer",
    "agreement",
    "at_risk",
    "changed_after",
    "claim",
    "clocks",
    "id_of_number",
    "lock",
    "near",
    "policies",
    "save",
    "sequences",
    "stamp",
    "whole",
]
