"""Fires what comes due: durable timers, each effect in the transaction that deletes its timer."""

from waybill_sla.timers.part import Timers
from waybill_sla.timers.stream import Progress

__all__ = ["Progress", "Timers"]
