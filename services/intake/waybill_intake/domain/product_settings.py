"""What a product decides for its tickets: with what haste they begin, where its orders are."""

import re
from urllib.parse import quote, urlsplit

from waybill_intake.domain.words import Priority

PLACE = "{ref}"
_PLAIN = re.compile(r"[\x21-\x7e]+")


def starting_priority(usual: Priority, least: Priority | None) -> Priority:
    """The priority of a ticket that names none; a submitter's tier can only raise it."""
    return usual if least is None or usual.rank >= least.rank else least


def order_link_fault(template: str) -> str | None:
    """What would be right instead of this template, None if it is."""
    before, place, after = template.partition(PLACE)
    if not place or PLACE in after or {"{", "}"} & {*before, *after}:
        return f"must have {PLACE} exactly once, as in https://shop.example/orders/{PLACE}"
    if not _PLAIN.fullmatch(template):
        return "must be an address in plain ASCII, without blanks"
    try:
        parts = urlsplit(before)
        named = bool(parts.hostname) and not parts.username and parts.port != 0
    except ValueError:
        named = False
    if not template.startswith("https://") or not named:
        return "must begin with https:// and the name of a host"
    if not (parts.path or parts.query or parts.fragment):
        return f"must have {PLACE} behind the host, as in https://shop.example/orders/{PLACE}"
    return None


def order_url(template: str, ref: str) -> str:
    """Where an order is found; whatever its reference holds stays within its place."""
    return template.replace(PLACE, quote(ref, safe=""))
