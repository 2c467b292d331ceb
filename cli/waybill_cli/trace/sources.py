"""What each service says about a ticket; one that is away leaves its part empty and is named."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar
from uuid import UUID

import httpx

from waybill_cli import api
from waybill_cli.api import NotThere
from waybill_cli.errors import StackError

T = TypeVar("T")
Json = Mapping[str, Any]

# Attempts are asked for delivery by delivery.
_MOST_ATTEMPT_LOGS = 50


@dataclass(slots=True)
class Told:
    """What was found; `away` says by service why its part is missing."""

    ticket_id: str
    ticket: Json | None = None
    log: Sequence[Json] = ()
    assignment: Json | None = None
    sla: Json | None = None
    deliveries: Sequence[Json] = ()
    away: dict[str, str] = field(default_factory=dict)


def gather(asked: httpx.Client, ticket: str) -> Told:
    """Ask all services about a ticket, by its id or number.

    Raises `NotThere` for one that does not exist, and StackError when a number cannot be looked
    up because intake is away.
    """
    told = Told(ticket)
    try:
        told.ticket = api.get(asked, f"/v1/tickets/{ticket}")
        told.ticket_id = told.ticket["id"]
    except api.Away as error:
        told.away["intake"] = str(error)
        if not _is_id(ticket):
            raise StackError(
                f"intake does not answer and only it knows numbers: {error}"
            ) from error
    id = told.ticket_id
    if told.ticket is not None:
        told.log = (
            _ask(told, "intake", lambda: list(api.pages(asked, f"/v1/tickets/{id}/log"))) or ()
        )
    told.assignment = _ask(
        told, "routing", lambda: _or_none(lambda: api.get(asked, f"/v1/tickets/{id}/assignment"))
    )
    told.sla = _ask(told, "sla", lambda: _or_none(lambda: api.get(asked, f"/v1/tickets/{id}/sla")))
    told.deliveries = _ask(told, "notify", lambda: _deliveries(asked, id)) or ()
    return told


def _deliveries(asked: httpx.Client, id: str) -> list[Json]:
    found = sorted(
        api.pages(asked, "/v1/deliveries", ticket_id=id, limit=200), key=lambda d: d["created_at"]
    )
    return [
        api.get(asked, f"/v1/deliveries/{delivery['id']}")
        if place < _MOST_ATTEMPT_LOGS
        else delivery
        for place, delivery in enumerate(found)
    ]


def _ask(told: Told, service: str, question: Callable[[], T]) -> T | None:
    try:
        return question()
    except StackError as error:
        told.away[service] = str(error)
        return None


def _or_none(question: Callable[[], T]) -> T | None:
    try:
        return question()
    except NotThere:
        # Not heard of the ticket yet, which is not the same as being away.
        return None


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
