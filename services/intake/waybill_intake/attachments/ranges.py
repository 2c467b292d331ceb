"""The part of a file that a request asks for (RFC 9110, 14.2): one range, or the whole."""

import re
from dataclasses import dataclass

from waybill_chassis.problems import Problem

_ONE = re.compile(r"bytes=\s*(\d{0,19})\s*-\s*(\d{0,19})\s*", re.IGNORECASE | re.ASCII)


class RangeNotSatisfiable(Problem):
    """A range that begins behind the end of the file."""

    status = 416
    title = "Range not satisfiable"
    code = "OUT_OF_RANGE"


@dataclass(frozen=True, slots=True)
class Span:
    """From `start` to before `end`."""

    start: int
    end: int


def span_of(header: str | None, size: int) -> Span | None:
    """The range of a `Range` header; None for the whole, also where it asks for several."""
    found = _ONE.fullmatch(header or "")
    if found is None or not (found[1] or found[2]):
        return None
    if not found[1]:
        start, end = max(0, size - int(found[2])), size
    else:
        start = int(found[1])
        end = min(int(found[2]) + 1, size) if found[2] else size
        if found[2] and int(found[2]) < start:
            return None
    if start >= size or start >= end:
        raise RangeNotSatisfiable(
            f"The file has {size} bytes.", headers={"Content-Range": f"bytes */{size}"}
        )
    return Span(start, end)
