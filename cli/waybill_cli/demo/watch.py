"""What became of a run's tickets, read from lists and never ticket by ticket."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any

import httpx

from waybill_cli import api
from waybill_cli.demo.plan import Plan, Ticket
from waybill_cli.local.settings import StackSettings

_PAGE = 200


class Watch:
    """Looks at the lists of tickets and deliveries; one that is away is asked again next time."""

    def __init__(self, stack: StackSettings, plan: Plan) -> None:
        """Ask the gateway as an operator."""
        self.warnings: list[str] = []
        self._plan = plan
        # A little before: the clocks are one, but the database rounds.
        self._since = datetime.now(UTC) - timedelta(seconds=1)
        self._client = httpx.AsyncClient(
            base_url=stack.api_url,
            headers=api.authorization(stack),
            timeout=15.0,
            trust_env=False,
        )
        self._by_reference = {ticket.reference: ticket for ticket in plan.tickets}

    async def __aenter__(self) -> "Watch":
        """Nothing to start."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def look(self) -> None:
        """Write down what is new."""
        try:
            if any(not all(ticket.stages[:3]) for ticket in self._plan.tickets):
                await self._look_at_tickets()
            if any(ticket.receipt_at is None for ticket in self._plan.tickets):
                await self._look_at_deliveries()
        except (api.Away, httpx.HTTPError) as error:
            self._warn(f"{type(error).__name__}: {error}")

    async def _look_at_tickets(self) -> None:
        by_id = {ticket.id: ticket for ticket in self._plan.tickets if ticket.id}
        async for found in self._pages("/v1/tickets", tag=self._plan.tag):
            ticket = by_id.get(found["id"]) or self._by_reference.get(found["external_ref"] or "")
            if ticket is not None:
                _note(ticket, found)

    async def _look_at_deliveries(self) -> None:
        by_id = {ticket.id: ticket for ticket in self._plan.tickets if ticket.id}
        async for found in self._pages("/v1/deliveries"):
            # The newest come first, so the first old one ends the search.
            if datetime.fromisoformat(found["created_at"]) < self._since:
                return
            ticket = by_id.get(found["ticket_id"])
            if ticket is None or found["template"] != "receipt":
                continue
            if found["state"] == "delivered":
                ticket.receipt_at = datetime.fromisoformat(found["delivered_at"])
            elif found["state"] == "dead":
                self._warn(f"the receipt of {ticket.label} is dead: {found['last_error']}")

    async def _pages(self, path: str, **params: str) -> AsyncIterator[dict[str, Any]]:
        cursor: dict[str, str] = {}
        while True:
            answer = await self._client.get(path, params={**params, **cursor, "limit": _PAGE})
            page = api.content(answer)
            for item in page["items"]:
                yield item
            if not page.get("next_cursor"):
                return
            cursor = {"cursor": page["next_cursor"]}

    def _warn(self, said: str) -> None:
        if said not in self.warnings:
            self.warnings.append(said)


def _note(ticket: Ticket, found: dict[str, Any]) -> None:
    ticket.id, ticket.number = found["id"], found["number"]
    ticket.assigned = ticket.assigned or found["assignee"] is not None
    ticket.clock = ticket.clock or found["sla"]["resolution"]["state"] is not None
