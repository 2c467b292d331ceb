"""Tables and every SQL statement."""

from waybill_sla.store.agreed import Stamp, agreement, policies, stamp
from waybill_sla.store.clocks import (
    Loaded,
    Timer,
    claim,
    clocks,
    lock,
    next_due,
)
from waybill_sla.store.lists import AtRisk, at_risk, changed_after, id_of_number, sequences
from waybill_sla.store.saving import Changed, save

__all__ = [
    "AtRisk",
    "Changed",
    "Loaded",
    "Stamp",
    "Timer",
    "agreement",
    "at_risk",
    "changed_after",
    "claim",
    "clocks",
    "id_of_number",
    "lock",
    "next_due",
    "policies",
    "save",
    "sequences",
    "stamp",
]
