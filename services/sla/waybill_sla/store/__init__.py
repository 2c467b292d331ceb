"""Tables and every SQL statement."""

from waybill_sla.store.agreed import agreement, policies
from waybill_sla.store.clocks import (
    Changed,
    Loaded,
    claim,
    clocks,
    lock,
    next_due,
    save,
)
from waybill_sla.store.lists import AtRisk, at_risk, changed_after, id_of_number, sequences

__all__ = [
    "AtRisk",
    "Changed",
    "Loaded",
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
]
