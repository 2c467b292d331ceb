"""`waybill hello`: a first ticket, its journey, and where to look next."""

import secrets
import time
from typing import Any

import httpx
import typer

from waybill_cli import api, trace
from waybill_cli.demo.doors import PRODUCT
from waybill_cli.errors import StackError
from waybill_cli.local import keys, settings
from waybill_cli.trace.show import print_journey

_PATIENCE = 30.0
# What the log holds once the ticket has been through all services.
_ALL_AROUND = {"TicketOpened", "TicketAssigned", "ClockStarted", "NotificationDelivered"}


def hello() -> None:
    """Send one ticket through the stack, print its journey and the addresses to open."""
    stack = settings.read()
    visitor = f"visitor-{secrets.token_hex(3)}@example.com"
    claims = keys.Claims(visitor, ["submitter"], [PRODUCT], name="A visitor")
    with api.client(stack, claims) as asked:
        ticket = _open(asked, visitor)
    missing = _wait(stack, ticket["id"])
    print_journey(trace.of(stack, ticket["id"]))
    typer.echo(_next(stack, ticket["number"]))
    if missing:
        raise StackError(f"after {_PATIENCE:.0f} s {ticket['number']} still lacks {missing}")


def _open(asked: httpx.Client, visitor: str) -> Any:
    body = {
        "type": "account",
        "title": "How do I reset my password?",
        "description": "I have forgotten my password and cannot sign in. How do I reset it?",
        "product": PRODUCT,
    }
    try:
        answer = asked.post("/v1/tickets", json=body, headers={"idempotency-key": visitor})
    except httpx.HTTPError as error:
        raise StackError(
            f"nobody answers at {asked.base_url} ({type(error).__name__}): run `waybill up`"
        ) from error
    return api.content(answer)


def _wait(stack: settings.StackSettings, id: str) -> str:
    """Wait until every service has told its part; what is still missing, empty for nothing."""
    deadline = time.monotonic() + _PATIENCE
    told: set[str] = set()
    with api.client(stack) as asked:
        while time.monotonic() < deadline:
            log = api.pages(asked, f"/v1/tickets/{id}/log")
            told = {line["type"].rpartition(".")[2] for line in log}
            if told >= _ALL_AROUND:
                # Spans are written half a second after they end.
                time.sleep(1.0)
                return ""
            time.sleep(0.2)
    return ", ".join(sorted(_ALL_AROUND - told))


def _next(stack: settings.StackSettings, number: str) -> str:
    url = stack.api_url
    return f"""
{url}/docs           what each service offers, and its events
{stack.data_dir / "mail"}   the mails that went out (a Maildir)
waybill trace {number}                 this journey again
waybill token --role agent --sub ana@example.com   to work as an agent:
  curl -H "Authorization: Bearer $(waybill token --role agent --sub ana@example.com)" \\
    {url}/v1/tickets
waybill demo                          a few dozen tickets more, counted and timed
waybill status, waybill logs          what runs; `make down` stops it"""
