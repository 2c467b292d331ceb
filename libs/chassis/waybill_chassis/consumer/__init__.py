"""Reads topics in batches: one batch, one transaction, the inbox in it."""

from waybill_chassis.consumer.decoding import Decode
from waybill_chassis.consumer.edge import Consumer
from waybill_chassis.consumer.work import Handle
from waybill_chassis.dead_letters import TooManyDeadLetters

__all__ = ["Consumer", "Decode", "Handle", "TooManyDeadLetters"]
