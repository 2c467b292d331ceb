"""One ticket travels through all five services, opened through each of the two doors.

The tests follow two tickets through one stack and run in their order.
"""

import html
import json
import mailbox
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default
from typing import Any, TypeVar

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from waybill_cli.local.processes import blocking
from waybill_cli.places import project_root
from waybill_cli.testing import Stack

T = TypeVar("T")
VISITOR = "eve@example.com"
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
OPENING = {
    "type": "account",
    "title": "How do I reset my password?",
    "description": "I have forgotten my passcode and cannot log in to the app.",
    "product": "demo",
}


def eventually(ask: Callable[[], T | None], what: object, seconds: float = 30.0) -> T:
    """What `ask` gives once it gives something; fails, saying `what`, after `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        found = ask()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {what}"
        time.sleep(0.1)


class World:
    """What a submitter, an agent and a product see of the stack."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.client = stack.client()
        self.ticket: dict[str, Any] = {}
        self._tokens: dict[str, str] = {}

    def as_(self, who: str, role: str) -> dict[str, str]:
        if who not in self._tokens:
            said = self.stack.run("token", "--role", role, "--sub", who)
            self._tokens[who] = said.out.strip()
        return {"authorization": f"Bearer {self._tokens[who]}"}

    def get(self, path: str, **params: str) -> Any:
        answer = self.client.get(path, params=params, headers=self.as_("root@example.com", "admin"))
        assert answer.status_code == 200, answer.text
        return answer.json()

    def post(self, path: str, body: Any, who: dict[str, str], **headers: str) -> httpx.Response:
        return self.client.post(path, json=body, headers={**who, **headers})

    def now(self) -> dict[str, Any]:
        self.ticket = self.get(f"/v1/tickets/{self.ticket['id']}")
        return self.ticket

    def clock(self) -> dict[str, Any]:
        return self.get(f"/v1/tickets/{self.ticket['id']}/sla")

    @property
    def agent(self) -> dict[str, str]:
        """A token of the agent who has the ticket."""
        agents = self.get("/v1/agents")["items"]
        (email,) = [a["email"] for a in agents if a["id"] == self.ticket["assignee"]["id"]]
        return self.as_(email, "agent")

    def mails(self, to: str) -> list[EmailMessage]:
        box = mailbox.Maildir(self.stack.folder / "mail", create=False)
        parser = BytesParser(policy=default)
        found = [parser.parsebytes(box.get_bytes(key)) for key in box.keys()]  # noqa: SIM118 - a Maildir is no dict
        return [mail for mail in found if to in mail["to"]]  # type: ignore[misc]

    def mail(self, to: str, words: str) -> EmailMessage:
        """The mail whose text or subject holds these words, once it is there."""

        def there() -> EmailMessage | None:
            hits = [m for m in self.mails(to) if words in m["subject"] or words in text(m)]
            assert len(hits) <= 1, f"sent {len(hits)} times: {words}"
            return hits[0] if hits else None

        return eventually(there, f"the mail to {to} with {words!r}")


def text(mail: EmailMessage) -> str:
    part = mail.get_body(("plain",))
    assert part is not None
    return str(part.get_content())


@pytest.fixture(scope="module")
def world(stack: Stack) -> Iterator[World]:
    world = World(stack)
    with world.client:
        yield world


def test_it_is_opened_assigned_timed_and_receipted_with_an_answer(world: World) -> None:
    said = world.post(
        "/v1/tickets",
        OPENING,
        world.as_(VISITOR, "submitter"),
        **{"Idempotency-Key": "one", "traceparent": f"00-{TRACE_ID}-00f067aa0ba902b7-01"},
    )
    assert said.status_code == 201, said.text
    world.ticket = said.json()
    assert world.ticket["status"] == "pending"
    eventually(lambda: world.now()["assignee"], "the assignment")
    eventually(lambda: world.now()["status"] == "in_progress", "in_progress")
    eventually(lambda: world.now()["sla"]["response"]["state"] == "running", "the clock")
    assert world.clock()["state"] == "running"
    receipt = world.mail(VISITOR, "We have your request")
    assert "passcode" in text(receipt).lower().replace(OPENING["title"].lower(), "")
    assert re.search(r"/r/[\w-]+", text(receipt)), "no link to say that it is solved"


def test_one_agent_has_it_and_the_others_are_told_who(world: World) -> None:
    others = [
        agent["email"]
        for agent in world.get("/v1/agents")["items"]
        if agent["id"] != world.ticket["assignee"]["id"]
    ]
    path = f"/v1/tickets/{world.ticket['id']}/assignment/claim"
    refused = world.post(path, {}, world.as_(others[0], "agent"))
    assert refused.status_code == 409
    assert world.ticket["assignee"]["name"] in refused.text
    again = world.post(path, {}, world.agent)
    assert again.status_code == 200
    assert again.json()["agent"]["id"] == world.ticket["assignee"]["id"]


def test_the_reply_reaches_the_submitter_and_meets_the_response_target(world: World) -> None:
    messages = f"/v1/tickets/{world.ticket['id']}/messages"
    note = world.post(messages, {"kind": "note", "body": "secret-note"}, world.agent)
    assert note.status_code == 201, note.text
    reply = world.post(messages, {"kind": "reply", "body": "Which phone is it?"}, world.agent)
    assert reply.status_code == 201, reply.text
    world.mail(VISITOR, "Which phone is it?")
    eventually(lambda: world.clock()["response"]["state"] == "met", "the response target met")


def test_awaiting_the_user_pauses_the_clock_and_the_answer_resumes_it(world: World) -> None:
    path = f"/v1/tickets/{world.ticket['id']}"
    moved = world.post(f"{path}/transitions", {"to": "awaiting_user"}, world.agent)
    assert moved.status_code == 200, moved.text
    eventually(lambda: world.clock()["state"] == "paused", "the pause")
    eventually(lambda: world.now()["sla"]["resolution"]["state"] == "paused", "intake told of it")
    answer = world.post(
        f"{path}/messages",
        {"kind": "reply", "body": "A blue one."},
        world.as_(VISITOR, "submitter"),
    )
    assert answer.status_code == 201, answer.text
    assert world.now()["status"] == "in_progress"
    eventually(lambda: world.clock()["state"] == "running", "the clock resumed")


def test_resolved_it_waits_for_the_word_of_the_submitter_given_by_a_link(world: World) -> None:
    path = f"/v1/tickets/{world.ticket['id']}"
    moved = world.post(
        f"{path}/transitions", {"to": "resolved", "comment": "Reset by code."}, world.agent
    )
    assert moved.status_code == 200, moved.text
    eventually(lambda: world.clock()["resolution"]["state"] in ("met", "paused"), "sla told")
    mail = world.mail(VISITOR, "Reset by code.")
    links = re.findall(r"/r/[\w-]+", text(mail))
    pages = {link: world.client.get(link) for link in dict.fromkeys(links)}
    (confirm,) = [link for link, page in pages.items() if "Is it solved?" in page.text]
    # A mail scanner has followed every link, and nothing has happened.
    assert world.now()["status"] == "resolved"
    fields = {
        name: html.unescape(value)
        for name, value in re.findall(r'name="(\w+)" value="([^"]*)"', pages[confirm].text)
    }
    assert world.client.post(confirm, data=fields).status_code == 200
    closed = world.now()
    assert (closed["status"], closed["close_reason"]) == ("closed", "user_confirmed")
    eventually(lambda: world.clock()["state"] == "stopped", "the clock stopped")
    refused = world.post(f"{path}/transitions", {"to": "in_progress"}, world.agent)
    assert refused.status_code == 409


def test_the_feed_has_told_all_that_is_public_in_order(world: World) -> None:
    def told() -> list[dict[str, Any]] | None:
        found = [u for u in feed(world) if u["ticket"]["id"] == world.ticket["id"]]
        return found if found and found[-1]["ticket"]["status"] == "closed" else None

    updates = eventually(told, "the feed's last word")
    statuses = [u["ticket"]["status"] for u in updates if u["what"] == "status_changed"]
    assert statuses == [
        *("in_progress", "awaiting_user", "in_progress", "resolved", "closed"),
    ]
    assert updates[0]["what"] == "opened"
    assert any(u["what"] == "assigned" and u["ticket"]["assignee"] for u in updates)
    bodies = [u["message"]["body"] for u in updates if u["what"] == "message_posted"]
    assert bodies[:2] == ["Which phone is it?", "A blue one."]
    assert "secret-note" not in json.dumps(updates)


def test_the_log_is_complete_and_one_trace_leads_to_the_delivery(world: World) -> None:
    wanted = {
        "TicketOpened": 1,
        "TicketAssigned": 1,
        "TicketReleased": 1,
        "MessagePosted": 3,
        "ClockStarted": 1,
        "ClockPaused": 2,
        "ClockResumed": 1,
        "TargetMet": 2,
        # The receipt, the reply, the question whether it is solved; who confirmed knows the end.
        "NotificationDelivered": 3,
    }
    said: list[str] = []

    def complete() -> list[dict[str, Any]] | None:
        log = world.get(f"/v1/tickets/{world.ticket['id']}/log", limit="200")["items"]
        said[:] = [line["type"].rpartition(".")[2] for line in log]
        return log if all(said.count(name) >= count for name, count in wanted.items()) else None

    log = eventually(complete, said)
    assert {line["source"].rpartition("/")[2] for line in log} >= {
        *("intake", "routing", "sla", "notify"),
    }
    by_trace = [line["type"].rpartition(".")[2] for line in log if line["trace_id"] == TRACE_ID]
    assert {"TicketOpened", "TicketAssigned", "ClockStarted", "NotificationDelivered"} <= set(
        by_trace
    )
    deliveries = world.get("/v1/deliveries", ticket_id=world.ticket["id"])["items"]
    (receipt,) = [one for one in deliveries if one["template"] == "receipt"]
    (attempt,) = world.get(f"/v1/deliveries/{receipt['id']}")["attempt_log"]
    assert attempt["trace_id"] == TRACE_ID


def test_trace_prints_the_whole_journey(world: World) -> None:
    said = world.stack.run("trace", world.ticket["number"])
    assert said.code == 0, said.err
    for words in (
        *("TicketOpened", "TicketAssigned", "ClockStarted", "NotificationDelivered", TRACE_ID),
        *("receipt", "1 attempt", "-> routing", "-> sla", "-> notify", "-> kb", "closed"),
    ):
        assert words in said.out, words
    assert max(map(len, said.out.splitlines())) <= 100
    told = json.loads(world.stack.run("trace", world.ticket["id"], "--json").out)
    assert told["ticket"]["number"] == world.ticket["number"]
    services = {span["service"] for trace in told["traces"] for span in trace["spans"]}
    assert {"intake", "notify", "kb"} <= services


def test_a_product_follows_its_ticket_from_the_topic_to_its_end(world: World) -> None:
    script = subprocess.Popen(
        [sys.executable, project_root() / "examples" / "product.py", "The nightly backup failed"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**world.stack.env, "KAFKA_BOOTSTRAP_SERVERS": world.stack.settings.kafka},
    )
    try:
        found = eventually(
            lambda: [
                ticket
                for ticket in world.get("/v1/tickets", product="demo")["items"]
                if ticket["title"] == "The nightly backup failed" and ticket["assignee"]
            ],
            "the product's ticket",
        )
        world.ticket = found[0]
        assert world.ticket["channel"] == "event"
        eventually(lambda: world.now()["status"] == "in_progress", "in_progress")
        for body in (
            {"to": "resolved", "comment": "The disk was full."},
            {"to": "closed", "reason": "resolved"},
        ):
            path = f"/v1/tickets/{world.ticket['id']}/transitions"
            moved = world.post(path, body, world.agent)
            assert moved.status_code == 200, moved.text
        out, err = script.communicate(timeout=30)
    finally:
        script.kill()
        script.wait()
    assert script.returncode == 0, err
    words = [line.split()[1:3] for line in out.splitlines()]
    assert words[0] == ["opened", "pending"]
    assert words[-1] == ["status_changed", "closed"]
    assert "assigned" in [word for word, _ in words]


def test_the_demonstration_counts_what_arrived_through_both_doors(world: World) -> None:
    said = world.stack.run("demo", "--count", "6", "--rate", "10", "--patience", "40")
    assert said.code == 0, said.out + said.err
    rows = {line[:18].strip(): line[18:].split() for line in said.out.splitlines()}
    assert rows["receipts delivered"][-3:] == ["6", "3", "3"]
    assert "nothing is missing" in said.out


def test_nothing_is_left_over(world: World) -> None:
    assert world.stack.run("dlq", "list").out == "no dead letters\n"

    def clean() -> str | None:
        said = world.stack.run("reconcile")
        return said.out if said.code == 0 else None

    table = eventually(clean, "a clean reconcile").splitlines()
    assert len(table) == 6
    for line in table[1:]:
        assert int(line.split()[1]) >= 2, line


def feed(world: World) -> list[dict[str, Any]]:
    """All that the product's feed has said so far."""

    async def read() -> list[dict[str, Any]]:
        consumer = AIOKafkaConsumer(bootstrap_servers=world.stack.settings.kafka)
        await consumer.start()
        try:
            places = [TopicPartition("waybill.feed.demo.v1", p) for p in range(3)]
            consumer.assign(places)
            ends = await consumer.end_offsets(places)
            await consumer.seek_to_beginning(*places)
            found: list[dict[str, Any]] = []
            while any([await consumer.position(p) < ends[p] for p in places]):
                for records in (await consumer.getmany(timeout_ms=500)).values():
                    found += [json.loads(record.value) for record in records]
            return found
        finally:
            await consumer.stop()

    return blocking(read())
