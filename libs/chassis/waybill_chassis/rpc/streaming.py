"""Answering a `StreamX` of the contracts: everything there is, a page of rows at a time."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TypeVar
from uuid import UUID

from waybill_chassis.http import Cursor
from waybill_chassis.ids import parse_id
from waybill_chassis.problems import invalid_field

P = TypeVar("P")
R = TypeVar("R")

AT_ONCE = 500
"""How many rows a page has."""
_MOST_IDS = 1000


def asked_ids(texts: Sequence[str]) -> list[UUID] | None:
    """The ids asked for, without those that can be nobody's; None when all are asked for."""
    if len(texts) > _MOST_IDS:
        raise invalid_field("ticket_ids", f"must be at most {_MOST_IDS}")
    return [id for text in texts if (id := parse_id(text)) is not None] if texts else None


async def pages(
    cursor: Cursor[P],
    after_cursor: str,
    read: Callable[[P | None], Awaitable[Sequence[R]]],
    place: Callable[[R], P],
) -> AsyncIterator[tuple[R, str]]:
    """Each row with its cursor; `read` gives the next `AT_ONCE` rows after a place."""
    after = cursor.decode(after_cursor or None)
    while True:
        page = await read(after)
        for row in page:
            after = place(row)
            yield row, cursor.encode(after)
        if len(page) < AT_ONCE:
            return
