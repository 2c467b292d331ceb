"""Lists in pages: an opaque cursor tells where the next one begins."""

import base64
import binascii
import hashlib
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar

from fastapi import Query
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import to_json

from waybill_chassis.problems import Invalid, invalid_field

T = TypeVar("T")
P = TypeVar("P")
R = TypeVar("R")

Limit = Annotated[int, Query(ge=1, le=200, description="How many items at most.")]
"""How many items a page has at most; give it a default, such as 50."""

CursorParam = Annotated[
    str | None, Query(max_length=1024, description="`next_cursor` of the page before.")
]
"""The cursor as it comes in; give it the default None."""

_CHECK_BYTES = 6


class Page(BaseModel, Generic[T]):
    """One page of a list; `next_cursor` is null on the last."""

    items: list[T]
    next_cursor: str | None = None


class Cursor(Generic[P]):
    """A place in one kind of list, as text that only we read.

    It holds no secret and grants nothing; the checksum and the shape make sure that one from
    another list, or an altered one, is refused instead of misread.
    """

    def __init__(self, name: str, shape: Any) -> None:
        """`name` of the list; `shape` is the tuple type it is sorted by, that is `P` itself."""
        self._name = name.encode()
        self._shape: TypeAdapter[P] = TypeAdapter(shape)

    def encode(self, position: P) -> str:
        """The cursor of the item that stands at `position`."""
        body = to_json(position)
        return base64.urlsafe_b64encode(self._check(body) + body).rstrip(b"=").decode()

    def decode(self, cursor: str | None) -> P | None:
        """The position after which to go on, None for the first page; `Invalid` if not ours."""
        if cursor is None:
            return None
        try:
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
            check, body = raw[:_CHECK_BYTES], raw[_CHECK_BYTES:]
            if check == self._check(body):
                return self._shape.validate_json(body)
        except (binascii.Error, ValueError, ValidationError):
            pass
        raise _foreign()

    def page(
        self,
        rows: Sequence[R],
        limit: int,
        *,
        position: Callable[[R], P],
        item: Callable[[R], T],
    ) -> Page[T]:
        """The page made of `rows`, of which the query fetched up to `limit + 1`."""
        shown = rows[:limit]
        more = len(rows) > limit
        return Page(
            items=[item(row) for row in shown],
            next_cursor=self.encode(position(shown[-1])) if more else None,
        )

    def _check(self, body: bytes) -> bytes:
        return hashlib.sha256(self._name + b"\0" + body).digest()[:_CHECK_BYTES]


def _foreign() -> Invalid:
    return invalid_field("cursor", "must be the next_cursor of an earlier page of this list")
