"""A person goes through the whole stack, is erased, and is found nowhere any more.

Left are, as docs/privacy.md says, the topics until their retention ends and the recipient's own
mailbox; and files of the database's that only overwriting empties.
"""

import asyncio
import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

import asyncpg
import httpx
import pytest
import yaml
from aiokafka import AIOKafkaProducer
from waybill_cli.local.settings import SERVICES
from waybill_cli.testing import Stack

T = TypeVar("T")

STEM = f"zq{uuid4().hex[:12]}"
"""Stands in everything that the person is, writes and sends; no word of anybody else has it."""
KIM, NAME = f"{STEM}@example.com", f"Kim {STEM}name"
LEE = "lee@example.com"
EXCEPTED = ("kafka", "mail", "postgres/cluster")
"""Folders of the stack that keep what was told and sent, until that ends by itself."""

_SEARCH = """
    SELECT $1 || '.{table}', left(CAST(t AS text), 2000) FROM {table} AS t
    WHERE strpos(lower(CAST(t AS text)), $2) > 0
       OR strpos(lower(CAST(t AS text)), encode(convert_to($2, 'UTF8'), 'hex')) > 0
"""
_TABLES = "SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'"


def eventually(ask: Callable[[], T | None], what: object, seconds: float = 60.0) -> T:
    """What `ask` gives once it gives something; fails, saying `what`, after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (found := ask()):
        told = what() if callable(what) else what
        assert time.monotonic() < deadline, f"not within {seconds:.0f} s: {told}"
        time.sleep(0.2)
    return found


class World:
    """The stack, as the person, an agent and an administrator see it."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.client = stack.client()
        self.root = self.token("admin", "root@example.com")
        self.ana = self.token("agent", "ana@example.com")
        self.kim = self.token("submitter", KIM)
        self.open: dict[str, Any] = {}
        self.closed: dict[str, Any] = {}
        self.other: dict[str, Any] = {}

    def token(self, role: str, who: str) -> dict[str, str]:
        said = self.stack.run("token", "--role", role, "--sub", who)
        return {"authorization": f"Bearer {said.out.strip()}"}

    def ask(
        self,
        method: str,
        path: str,
        body: Any = None,
        who: Any = None,
        *,
        ok: bool = True,
        **how: Any,
    ) -> Any:
        headers = {**(who or self.root), **how.pop("headers", {})}
        answer: httpx.Response = self.client.request(
            method, path, json=body, headers=headers, **how
        )
        assert answer.is_success or not ok, answer.text
        return answer.json() if answer.content else None

    def produce(self, type: str, data: Any) -> None:
        event = {
            "specversion": "1.0",
            "id": str(uuid4()),
            "source": "/demo",
            "type": f"waybill.intake.v1.{type}",
            "data": data,
        }

        async def send() -> None:
            headers = [("content-type", b"application/cloudevents+json")]
            servers = self.stack.settings.kafka
            async with AIOKafkaProducer(bootstrap_servers=servers) as producer:
                value = json.dumps(event).encode()
                await producer.send_and_wait("waybill.requests.demo.v1", value, headers=headers)

        asyncio.run(send())

    def kept(self) -> list[tuple[str, str]]:
        """Every row of all five databases that has the stem in it, in text or in bytes."""

        async def search() -> list[tuple[str, str]]:
            found = []
            for service in SERVICES:
                connection = await asyncpg.connect(self.stack.settings.database_url(service))
                try:
                    for (table,) in await connection.fetch(_TABLES):
                        rows = await connection.fetch(_SEARCH.format(table=table), service, STEM)
                        found += [(str(place), str(row)) for place, row in rows]
                finally:
                    await connection.close()
            return found

        return asyncio.run(search())

    def files(self) -> list[str]:
        """Where in the files of the stack's folder the stem stands, or that it is in a name."""
        folder = self.stack.settings.data_dir
        excepted = [folder / name for name in EXCEPTED]
        found = []
        for path in folder.rglob("*"):
            if path.is_file() and not any(path.is_relative_to(one) for one in excepted):
                content = path.read_bytes().lower()
                places = [match.start() for match in re.finditer(STEM.encode(), content)]
                name = str(path.relative_to(folder))
                found += [f"{name}: {content[max(at - 200, 0) : at + 40]!r}" for at in places]
                found += [name] if STEM in name.lower() else []
        return found


@pytest.fixture(scope="module")
def world(stack: Stack) -> Iterator[World]:
    world = World(stack)
    with world.client:
        yield world


def _services_of(rows: list[tuple[str, str]]) -> set[str]:
    return {place.partition(".")[0] for place, _ in rows}


def test_a_person_leaves_traces_in_every_service(world: World) -> None:
    """Over REST, by file and by topic; read, searched and refused, which is logged as well."""
    form = {"file": (f"{STEM}.txt", f"{STEM} in a file".encode(), "text/plain")}
    answer = world.client.post("/v1/attachments", files=form, headers=world.kim)
    assert answer.status_code == 201, answer.text
    opening = {
        "type": "order",
        "title": f"The {STEM}title is lost",
        "description": f"I am {NAME} and miss my {STEM}parcel.",
        "product": "demo",
        "order_refs": [f"{STEM}-1"],
        "custom_fields": {"pet": f"{STEM}pet"},
        "submitter": {"email": KIM, "name": NAME},
        "attachment_ids": [answer.json()["id"]],
    }
    once = {"Idempotency-Key": "once"}
    world.closed = world.ask("POST", "/v1/tickets", opening, world.kim, headers=once)
    by_topic = {
        name: value for name, value in opening.items() if name not in ("product", "attachment_ids")
    }
    world.produce("TicketRequested", by_topic | {"title": f"Another {STEM}title"})
    world.produce("TicketRequested", by_topic | {"order_refs": STEM, "priority": STEM})
    world.produce("MessageRequested", {"ticket_id": STEM, "body": STEM})
    listed = eventually(
        lambda: [
            one
            for one in world.ask("GET", f"/v1/tickets?submitter={KIM}")["items"]
            if one["channel"] == "event" and one["assignee"]
        ],
        "the ticket by topic, with somebody",
    )
    world.open = listed[0]
    lees = {**opening, "title": "Lee's", "description": "Lee's.", "submitter": {"email": LEE}}
    for name in ("order_refs", "custom_fields", "attachment_ids"):
        del lees[name]
    world.other = world.ask("POST", "/v1/tickets", lees)
    world.ask("PUT", f"/v1/tickets/{world.other['id']}/watchers/{KIM}", {"name": NAME})
    at = f"/v1/tickets/{world.closed['id']}"
    eventually(lambda: world.ask("GET", at)["assignee"], "the assignment")
    for ticket in (world.closed, world.open):
        to = f"/v1/tickets/{ticket['id']}/messages"
        world.ask("POST", to, {"body": f"Dear {NAME}, is {KIM} right?"}, world.ana)
        world.ask("POST", to, {"body": f"{NAME} again", "kind": "note"}, world.ana)
        world.ask("POST", to, {"body": f"Yes, {STEM}yes."}, world.kim)
    any_version = {"If-Match": "*"}
    world.ask("PATCH", at, {"title": f"Found {STEM}title"}, world.ana, headers=any_version)
    for to in ("resolved", "closed"):
        world.ask("POST", f"{at}/transitions", {"to": to, "comment": f"For {NAME}."}, world.ana)
    world.ask("POST", f"{at}/rating", {"score": 2, "comment": f"{STEM}rating"}, world.kim)
    article = world.ask("GET", "/v1/articles")["items"][0]["id"]
    vote = {"helpful": False, "comment": f"{STEM}vote"}
    world.ask("POST", f"/v1/articles/{article}/feedback", vote, world.kim, headers=once)
    world.ask("POST", "/v1/suggestions", {"text": f"{STEM} lost", "product": "demo"}, world.kim)
    for path in (
        f"/v1/search?q={STEM}",
        f"/v1/submitters?email={KIM}",
        f"/v1/submitters?name={STEM}name",
        f"/v1/tickets?q={STEM}title",
        f"/v1/tickets/{STEM}",
        f"/{STEM}",
        f"/v1/tickets?submitter={KIM}&status={STEM}",
        f"/v1/agents/{STEM}",
        f"/v1/tickets/{STEM}/sla",
        f"/v1/tickets/{STEM}/similar",
    ):
        world.ask("GET", path, ok=False)
    for path in ("/v1/tickets", f"{at}/messages", f"{at}/links"):
        wrong = {"title": STEM, "body": STEM * 9999, "ticket": STEM, STEM: STEM}
        world.ask("POST", path, wrong, world.kim, ok=False)
    mails = world.stack.folder / "mail"
    eventually(
        lambda: (
            sum(KIM.encode() in path.read_bytes() for path in mails.rglob("*:*")) >= 2
            or sum(KIM.encode() in path.read_bytes() for path in (mails / "new").iterdir()) >= 2
        ),
        "the mails",
    )
    eventually(
        lambda: _services_of(world.kept()) >= {"intake", "sla", "notify", "kb"}, "traces of them"
    )


def test_logs_and_spans_never_held_anything_of_them(world: World) -> None:
    """What is not written down need not be erased."""
    telemetry = [one for one in world.files() if not one.startswith("attachments")]
    assert telemetry == [], "\n".join(telemetry)


def test_erased_they_are_in_no_table_and_no_file(world: World) -> None:
    """Statuses and times stay, and whatever is still on its way brings nothing back."""
    before = world.ask("GET", f"/v1/tickets/{world.closed['id']}")
    volume = world.ask("GET", "/v1/stats/volume")
    id = before["submitter"]["id"]
    done = world.ask("POST", f"/v1/submitters/{id}/erasure")
    assert done["tickets"] == 2
    left: list[Any] = []

    def gone() -> bool:
        left[:] = world.kept()
        return not left

    eventually(gone, lambda: left, 90)
    # Objects go with the next sweep.
    eventually(lambda: not world.files(), world.files, 120)
    again = world.ask("POST", f"/v1/submitters/{id}/erasure")
    assert again == done
    after = world.ask("GET", f"/v1/tickets/{world.closed['id']}")
    kept = ("number", "status", "created_at", "closed_at", "close_reason", "type", "tags",
            "response_seconds", "resolution_seconds")  # fmt: skip
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert after["erased_at"] == done["erased_at"]
    assert (after["rating"]["score"], after["rating"]["comment"]) == (2, "")
    now = world.ask("GET", f"/v1/tickets/{world.open['id']}")
    assert (now["status"], now["close_reason"]) == ("closed", "no_action_needed")
    told = world.ask("GET", "/v1/stats/volume")
    assert told["volume"]["total"] == volume["volume"]["total"]


def test_the_services_agree_and_the_same_address_is_somebody_new(world: World) -> None:
    """Nothing was put aside, nothing differs, and who comes again is not who was erased."""
    assert world.stack.run("dlq", "list").out == "no dead letters\n"
    said: list[str] = []

    def clean() -> bool:
        answer = world.stack.run("reconcile")
        said[:] = [answer.out, answer.err]
        return answer.code == 0

    eventually(clean, lambda: said)
    assert world.kept() == []
    opening = {"type": "order", "title": "Me again", "description": "Hello.", "product": "demo"}
    anew = world.ask("POST", "/v1/tickets", opening, world.kim)
    assert anew["submitter"]["id"] != world.closed["submitter"]["id"]
    assert anew["submitter"]["email"] == KIM


def test_the_topics_that_keep_them_end_within_seven_days(world: World) -> None:
    """The one place where an erased person stays for a while: what was told already."""
    declared = (Path(__file__).parents[2] / "deploy" / "topics.yaml").read_text()
    config = yaml.safe_load(declared)
    days = 7 * 24 * 3600 * 1000
    for topic in config["topics"]:
        own = config["config"] | topic.get("config", {})
        assert own["cleanup.policy"] == "delete", topic["name"]
        assert own["retention.ms"] + own["segment.ms"] <= days, topic["name"]
    kept = world.stack.settings.data_dir / "kafka"
    assert any(STEM.encode() in path.read_bytes() for path in kept.rglob("*.log"))
