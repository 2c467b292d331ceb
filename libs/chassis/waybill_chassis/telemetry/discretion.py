"""What logs and spans must not carry: the words, names and addresses of people.

Logs and spans say what happened to which id. What people wrote stays in the databases, where it can
be erased; so the values in an address are left out, and what a database says of them.
"""

import re
from urllib.parse import parse_qsl

from structlog.typing import EventDict, WrappedLogger

REDACTED = "REDACTED"

# PostgreSQL quotes values in the lines below an error's first, SQLAlchemy a statement's.
_VALUES = re.compile(r"(?m)^[ \t]*(?:DETAIL|CONTEXT|QUERY):.*$|\[parameters: [^\n]*")
# What our own routes are made of, and ids and numbers of things.
_PLAIN = re.compile(
    r"[a-z][a-z.-]*|v\d+|[A-Z]{1,8}-\d{1,18}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
)


def discreet(text: str) -> str:
    """A text without the values that a database has quoted in it."""
    return _VALUES.sub(REDACTED, text) if ":" in text else text


def discreet_path(path: str) -> str:
    """A path without what may name a person, or lets its holder act for one: ids alone stay."""
    parts = path.split("/")
    return "/".join(
        part if not part or (_PLAIN.fullmatch(part) and "r" not in parts[1:place]) else REDACTED
        for place, part in enumerate(parts)
    )


def discreet_query(query: str) -> str:
    """The names that a query has, without their values."""
    return "&".join(f"{name}={REDACTED}" for name, _ in parse_qsl(query, keep_blank_values=True))


def discreet_line(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """A line of the log without such values."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = discreet(value)
    return event
