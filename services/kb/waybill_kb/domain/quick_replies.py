"""Quick replies: texts with gaps that a ticket's facts fill."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from waybill_chassis.problems import Conflict, Invalid, NotFound, invalid_field

from waybill_kb.domain.texts import primary

_GAP = re.compile(r"\{\{\s*([a-z][a-z0-9_]*)\s*\}\}")
_BRACES = re.compile(r"\{\{|\}\}")


class QuickReplyUnknown(NotFound):
    """No such quick reply, or none for this product."""


class NameTaken(Conflict):
    """Another quick reply has this name."""


@dataclass(frozen=True, slots=True)
class Body:
    """The text in one language."""

    language: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class QuickReply:
    """A text that agents send often. `name` is what they type; the first body is the default."""

    id: UUID
    name: str
    title: str
    bodies: tuple[Body, ...]
    products: tuple[str, ...]
    version: int
    created_at: datetime
    updated_at: datetime


def gaps(text: str) -> list[str]:
    """The names of the values that a text needs, each once, in order."""
    return list(dict.fromkeys(_GAP.findall(text)))


def check_text(text: str, field: str) -> None:
    """Raise `Invalid` where braces do not make a gap."""
    if _BRACES.search(_GAP.sub("", text)):
        raise invalid_field(field, "must write each gap as {{ name }}, in lower case")


def body_in(reply: QuickReply, language: str) -> Body:
    """The body in the language wanted: the very tag, else the same language, else the first."""
    exact = [body for body in reply.bodies if body.language.lower() == language.lower()]
    same = [body for body in reply.bodies if primary(body.language) == primary(language)]
    return (exact or same or reply.bodies)[0]


def usable_for(reply: QuickReply, product: str) -> bool:
    """Whether it may be used for tickets of `product`; empty means any."""
    return not product or not reply.products or product in reply.products


def rendered(text: str, values: Mapping[str, str]) -> str:
    """The text with its gaps filled; `Invalid` names every value that is missing.

    A value is put in as it is: braces in it make no new gap.
    """
    if missing := [name for name in gaps(text) if name not in values]:
        raise Invalid(
            f"This quick reply needs {_listed(missing)}.",
            errors=[{"field": f"values.{name}", "message": "is required"} for name in missing],
        )
    return _GAP.sub(lambda gap: values[gap[1]], text)


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
