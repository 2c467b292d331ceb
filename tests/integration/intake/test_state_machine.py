"""Tickets under actors who act at once, against a model that knows only the table of moves."""

import asyncio
import collections
import itertools
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    invariant,
    rule,
    run_state_machine_as_test,
)
from waybill.common.v1 import ticket_enums_pb2 as words
from waybill.routing.v1 import assignment_pb2
from waybill.routing.v1 import events_pb2 as routing
from waybill.sla.v1 import events_pb2 as sla
from waybill_chassis.words import word

# The table of the design, written once more: from, to, and how it is told who may.
P, W, A, R, C = "pending", "in_progress", "awaiting_user", "resolved", "closed"
MOVES = {
    (P, W, ""): {"agent", "automation"},
    (W, A, ""): {"agent"},
    (W, P, ""): {"automation"},
    (A, W, ""): {"submitter", "agent", "product"},
    **{(source, R, ""): {"submitter", "agent", "product", "automation"} for source in (P, W, A)},
    (R, W, ""): {"submitter", "agent", "product"},
    (R, C, "user_confirmed"): {"submitter"},
    (R, C, "resolved"): {"agent"},
    (A, C, "auto_closed"): {"automation"},
    (R, C, "auto_closed"): {"automation"},
    **{(source, C, "no_action_needed"): {"agent", "automation"} for source in (P, W, A, R)},
    **{(source, C, "duplicate"): {"agent", "automation"} for source in (P, W, A, R)},
}
ACTORS = ("agent", "submitter", "service")
PEOPLE = {"agent": "ana@example.com", "submitter": "kim@example.com", "service": "shop"}

deeds = st.one_of(
    st.tuples(st.just("move"), st.sampled_from(ACTORS), st.sampled_from([P, W, A, R, C])),
    st.tuples(st.just("advance"), st.sampled_from(ACTORS), st.integers(0, 9)),
    st.tuples(st.just("say"), st.sampled_from(ACTORS), st.sampled_from(["reply", "note"])),
    st.tuples(st.just("edit"), st.sampled_from(["low", "medium", "high"]), st.booleans()),
    st.tuples(st.just("rate"), st.integers(1, 5)),
    st.tuples(st.just("merge")),
    st.tuples(st.just("unmerge")),
    st.tuples(st.just("link"), st.sampled_from(["related", "blocks"])),
    st.tuples(st.just("assigned")),
    st.tuples(st.just("released")),
    st.tuples(st.just("follow_up"), st.integers(-1, 0)),
)


class Tickets(RuleBasedStateMachine):
    """Two to four things are done at once, over and over."""

    tickets = Bundle("tickets")

    def __init__(self, intake: Any, event: Any, run: Callable[[Coroutine[Any, Any, Any]], Any]):
        super().__init__()
        self.intake, self.event, self.run = intake, event, run
        self.opened: list[dict[str, Any]] = []
        self.said: list[str] = []
        self.edited: dict[str, list[int]] = collections.defaultdict(list)
        self.numbers = itertools.count(1)

    @rule(target=tickets, by=st.sampled_from(["agent", "service"]))
    def open(self, by: str) -> Any:
        ticket = self.run(self.intake.open(by))
        self.opened.append(ticket)
        return ticket

    @rule(one=tickets, other=tickets, deeds=st.lists(deeds, min_size=2, max_size=4))
    def act_at_once(self, one: Any, other: Any, deeds: list[Any]) -> None:
        async def together() -> None:
            await asyncio.gather(
                *(
                    self.do(deed, *((one, other) if number % 3 else (other, one)))
                    for number, deed in enumerate(deeds)
                )
            )

        self.run(together())

    async def do(self, deed: tuple[Any, ...], ticket: Any, other: Any) -> None:
        path = f"/v1/tickets/{ticket['id']}"
        match deed:
            case "move", by, to:
                await self.ask("POST", f"{path}/transitions", {"to": to}, by)
            case "advance", by, number:
                # A move that the table has, most of the time not the last one.
                status = (await self.intake.read(ticket))["status"]
                ways = sorted({to for source, to, _ in MOVES if source == status} - {C}) * 3 + [C]
                to = ways[number % len(ways)]
                await self.ask("POST", f"{path}/transitions", {"to": to}, by)
            case "say", by, kind:
                body = f"words {next(self.numbers)}"
                said = {"kind": kind, "body": body}
                if answer := await self.ask("POST", f"{path}/messages", said, by):
                    self.said.append(body)
                    await self.know(answer["ticket_id"])
            case "edit", priority, fresh:
                version = (await self.intake.read(ticket))["version"] if fresh else 1
                headers = {"If-Match": f'"{version}"'}
                answer = await self.ask("PATCH", path, {"priority": priority}, "agent", headers)
                if answer and answer["version"] != version:
                    self.edited[ticket["id"]].append(version)
            case "rate", score:
                await self.ask("POST", f"{path}/rating", {"score": score}, "submitter")
            case ("merge",):
                await self.ask("POST", f"{path}/merge", {"into": other["id"]}, "agent")
            case ("unmerge",):
                await self.ask("DELETE", f"{path}/merge", None, "agent")
            case "link", kind:
                await self.ask(
                    "POST", f"{path}/links", {"ticket": other["id"], "kind": kind}, "agent"
                )
            case _:
                await self.hear(deed, ticket)

    async def know(self, id: str) -> None:
        """The answer to a closed ticket opens one that follows it, with the answer as its words."""
        ticket = await self.intake.read({"id": id})
        if all(known["id"] != id for known in self.opened):
            self.opened.append(ticket)

    async def hear(self, deed: tuple[Any, ...], ticket: Any) -> None:
        """What other services say."""
        sequence = next(self.numbers)
        state = assignment_pb2.Assignment(ticket_id=ticket["id"], team="support")
        message: Any
        match deed:
            case ("assigned",):
                state.state = assignment_pb2.ASSIGNMENT_STATE_ASSIGNED
                state.agent.id, state.agent.name = "a1", "Ana"
                message = routing.TicketAssigned(assignment=state)
            case ("released",):
                state.state = assignment_pb2.ASSIGNMENT_STATE_QUEUED
                message = routing.TicketReleased(assignment=state)
                message.previous_agent.id = "a1"
            case "follow_up", offset:
                *_, last = await self.intake.told(ticket)
                message = sla.FollowUpDue(
                    kind=words.FOLLOW_UP_KIND_AUTO_CLOSE_RESOLVED,
                    episode=last.message.ticket.episode + offset,
                )
        await self.intake.hear(self.event(ticket, message, sequence))

    async def ask(
        self, method: str, path: str, body: Any, by: str, headers: dict[str, str] | None = None
    ) -> Any:
        """The answer if it was done; what is refused must be refused with a reason."""
        token = self.intake.token(by, sub=PEOPLE[by]) | (headers or {})
        answer: httpx.Response = await self.intake.tested.client.request(
            method, path, json=body, headers=token
        )
        assert answer.status_code < 500, answer.text
        if answer.is_success:
            return answer.json()
        assert answer.status_code in (403, 409, 412, 422), answer.text
        assert answer.json()["detail"]
        return None

    @invariant()
    def the_model_holds(self) -> None:
        for ticket in self.opened:
            self.run(self.check(ticket))

    async def check(self, ticket: Any) -> None:
        told = await self.intake.told(ticket)
        numbers = list(range(1, len(told) + 1))
        assert [event.sequence for event in told] == numbers
        assert [event.message.ticket.version for event in told] == numbers
        status = P
        for event in told[1:]:
            after = word(words.Status, event.message.ticket.status)
            if event.name == "TicketStatusChanged":
                before = word(words.Status, getattr(event.message, "from"))
                reason = word(words.CloseReason, event.message.reason)
                assert before == status
                assert word_of(event.message.actor) in MOVES[before, after, reason]
            elif not (event.name == "TicketMerged" and event.message.undone):
                assert after == status
            status = after
        shown = await self.intake.read(ticket)
        assert (shown["status"], shown["version"]) == (status, len(told))
        # No two edits were made to the same version.
        edits = self.edited[ticket["id"]]
        assert len(edits) == len(set(edits))

    def teardown(self) -> None:
        """Every word that was accepted is in one conversation, once."""
        found: list[str] = []
        for ticket in self.opened:
            shown = self.run(self.intake.read(ticket))
            if shown["description"].startswith("words "):
                found.append(shown["description"])
            if shown["merged_into"]:
                continue
            path = f"/v1/tickets/{ticket['id']}/messages?limit=200"
            found += [item["body"] for item in self.run(self.intake.ask("GET", path))["items"]]
        assert sorted(found) == sorted(self.said)


def word_of(actor: Any) -> str:
    from waybill.common.v1.actor_pb2 import ActorKind

    return word(ActorKind, actor.kind)


@pytest.fixture
async def run(intake: Any) -> Callable[[Coroutine[Any, Any, Any]], Any]:
    """Runs a coroutine in the loop of the fixtures."""
    return asyncio.get_running_loop().run_until_complete


@pytest.mark.timeout(300)
def test_whoever_acts_at_once_no_move_is_outside_the_table(
    intake: Any, event: Any, run: Any
) -> None:
    """No lost update, versions and sequences without a gap, no word lost or doubled."""
    run_state_machine_as_test(
        lambda: Tickets(intake, event, run),
        settings=settings(
            max_examples=12,
            stateful_step_count=20,
            deadline=None,
            database=None,
            # Shrinking takes minutes, and what happens at once does not happen twice the same way.
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
