"""Tickets by what a caller calls them: an id, or a number such as `WB-1042`."""

import re

from waybill.intake.v1.service_pb2 import GetTicketRequest, GetTicketResponse

from waybill_chassis.ids import parse_id
from waybill_chassis.problems import NotFound
from waybill_chassis.rpc import Peers

_NUMBER = re.compile(r"WB-\d{1,18}")


def parse_number(text: str) -> str | None:
    """The number that `text` spells, in capitals, or None if it spells none."""
    number = text.upper()
    return number if _NUMBER.fullmatch(number) else None


def unknown_ticket(name: object) -> NotFound:
    """What is said of a ticket that does not exist, and of one that is not the caller's to see."""
    return NotFound(f"There is no ticket {name}.")


async def ask_for_ticket(
    peers: Peers,
    name: str,
    *,
    timeout: float,  # noqa: ASYNC109 - it travels with the call, as its deadline
) -> GetTicketResponse:
    """The ticket with this id or number, by intake, for a service that has not heard of it yet.

    `NotFound` when there is none, `Unavailable` when intake does not answer in `timeout` seconds.
    """
    if parse_id(name) is None and parse_number(name) is None:
        raise unknown_ticket(name)
    try:
        return await peers.intake.ask(
            peers.intake.stub.GetTicket, GetTicketRequest(id_or_number=name), timeout=timeout
        )
    except NotFound:
        raise unknown_ticket(name) from None
