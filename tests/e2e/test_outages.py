"""Broker and database killed under a real stack: what was taken in is whole, and goes on by itself.

The tests follow one stack and run in their order.
"""

import contextlib
import mailbox
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx
import psutil
import pytest
from waybill_chassis.problems import CONTENT_TYPE
from waybill_cli.local import services
from waybill_cli.local.processes import forget, recorded
from waybill_cli.local.settings import SERVICES
from waybill_cli.testing import Stack

T = TypeVar("T")
LONG = 90.0
"""Seconds for what takes a few on a machine that is not busy."""

OWNED = {
    "intake": "/v1/tickets",
    "routing": "/v1/agents",
    "sla": "/v1/sla/at-risk",
    "notify": "/v1/deliveries",
    "kb": "/v1/articles",
}


def eventually(ask: Callable[[], T | None], what: object) -> T:
    """What `ask` gives once it gives something; fails, saying `what`, when it never does."""
    deadline = time.monotonic() + LONG
    while not (found := ask()):
        assert time.monotonic() < deadline, f"not within {LONG:.0f} s: {what}"
        time.sleep(0.2)
    return found


class World:
    """What one asks of the stack from outside, and how its servers are taken away."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.client = stack.client()
        said = stack.run("token", "--role", "admin", "--sub", "root@example.com")
        self.headers = {"Authorization": f"Bearer {said.out.strip()}"}

    def get(self, path: str, **params: Any) -> httpx.Response:
        return self.client.get(path, params=params, headers=self.headers)

    def open(self, name: str) -> httpx.Response:
        body = {
            "type": "order",
            "title": f"Where is {name}?",
            "description": f"I ordered {name} and it is not here.",
            "product": "demo",
            "submitter": {"email": f"{name}@example.org"},
        }
        key = {"Idempotency-Key": f"outage-{name}"}
        return self.client.post("/v1/tickets", json=body, headers=self.headers | key)

    def kill(self, *names: str) -> None:
        """End parts of the stack as a power cut would, with all their children."""
        victims = []
        for name in names:
            found = recorded(self.stack.settings.run_dir, name)
            assert found is not None
            parent = found.find()
            assert parent is not None
            victims += [parent, *parent.children(recursive=True)]
        for victim in victims:
            with contextlib.suppress(psutil.NoSuchProcess):
                victim.kill()
        psutil.wait_procs(victims, timeout=10)
        for name in names:
            forget(self.stack.settings.run_dir, name)

    def up(self) -> None:
        said = self.stack.run("up")
        assert said.code == 0, said.out + said.err

    def pids(self) -> dict[str, int]:
        found = {name: recorded(self.stack.settings.run_dir, name) for name in SERVICES}
        return {name: process.pid for name, process in found.items() if process is not None}

    def mails(self) -> Counter[str]:
        box = mailbox.Maildir(self.stack.folder / "mail", create=False)
        return Counter(str(mail["to"]) for mail in box)

    def converged(self, names: list[str]) -> bool:
        """Whether each of the tickets is assigned, timed and acknowledged by mail."""
        answer = self.get("/v1/tickets", limit=200)
        if answer.status_code != 200:
            return False
        found = {ticket["submitter"]["email"]: ticket for ticket in answer.json()["items"]}
        mails = self.mails()
        return all(
            (ticket := found.get(f"{name}@example.org"))
            and ticket["status"] == "in_progress"
            and ticket["assignee"]
            and ticket["sla"]["response"]["state"] == "running"
            and mails[f"{name}@example.org"]
            for name in names
        )

    def nothing_is_twice(self, names: list[str]) -> None:
        tickets = self.get("/v1/tickets", limit=200).json()["items"]
        people = Counter(ticket["submitter"]["email"] for ticket in tickets)
        wanted = Counter(f"{name}@example.org" for name in names)
        assert people & wanted == wanted
        assert all(people[one] == 1 == self.mails()[one] for one in wanted)


@pytest.fixture(scope="module")
def world(stack: Stack) -> Iterator[World]:
    world = World(stack)
    with world.client:
        yield world


def is_503(answer: httpx.Response) -> bool:
    """Whether it is a problem document that says to come again."""
    return (
        answer.status_code == 503
        and answer.headers["content-type"] == CONTENT_TYPE
        and answer.json()["status"] == 503
        and answer.headers.get("retry-after", "").isdigit()
    )


def test_tickets_are_taken_in_while_the_broker_is_dead(world: World) -> None:
    names = ["lamp", "chair", "table", "shelf", "mirror"]
    before = world.pids()
    assert world.open("lamp").status_code == 201
    world.kill("kafka")
    try:
        for name in names[1:]:
            answer = world.open(name)
            assert answer.status_code == 201, answer.text
            assert answer.json()["status"] == "pending"
        # Nobody else needs the broker to answer either.
        for path in OWNED.values():
            assert world.get(path).status_code == 200, path
    finally:
        world.up()
    eventually(lambda: world.converged(names), "all assigned, timed and acknowledged")
    world.nothing_is_twice(names)
    assert world.pids() == before


def test_a_dead_database_is_said_and_nothing_is_half_done(world: World) -> None:
    names = [f"cup{number}" for number in range(6)]
    before = world.pids()
    taken = {name: world.open(name).status_code for name in names[:2]}
    world.kill("postgres")
    try:
        for service, path in OWNED.items():
            assert is_503(world.get(path)), f"{service}: {world.get(path).text}"
        for name in names[2:]:
            answer = world.open(name)
            assert is_503(answer), answer.text
        for service in SERVICES:
            port = next(r.http_port for r in replicas(world) if r.service == service)
            here = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=15)
            with here:
                assert here.get("/livez").status_code == 200
                assert here.get("/readyz").status_code == 503
    finally:
        world.up()
    # The same requests again, under the same keys: each makes its one ticket.
    for name in names:
        answer = eventually(lambda n=name: (a := world.open(n)).is_success and a, name)  # type: ignore[misc]
        repeated = name in taken
        assert (answer.headers.get("idempotent-replayed") == "true") == repeated, answer.text
    eventually(lambda: world.converged(names), "all assigned, timed and acknowledged")
    world.nothing_is_twice(names)
    assert world.pids() == before


def test_services_that_start_before_broker_and_database_wait_for_them(world: World) -> None:
    names = ["early", "late"]
    # One that people and products ask, and one that acts by itself.
    killed = ("intake", "sla")
    assert world.open("early").status_code == 201
    world.kill(*killed, "kafka", "postgres")
    settings = world.stack.settings
    fresh = [replica for replica in replicas(world) if replica.service in killed]
    for replica in fresh:
        process = services.launch(settings, replica, replicas(world))
        process.save(settings.run_dir)
    before = world.pids()
    try:
        for replica in fresh:
            alive = f"{services.address(replica)}/livez"
            eventually(lambda a=alive: services.ready(a), f"{replica.name} lives")  # type: ignore[misc]
            assert not services.ready(f"{services.address(replica)}/readyz")
        eventually(lambda: is_503(world.get("/v1/tickets")), "the database is away")
    finally:
        world.up()
    eventually(lambda: world.open("late").is_success, "taken in")
    eventually(lambda: world.converged(names), "all assigned, timed and acknowledged")
    world.nothing_is_twice(names)
    assert world.pids() == before
    assert nobody_complained(settings.log_dir)


def replicas(world: World) -> Any:
    return world.stack.settings.replicas({})


def nobody_complained(folder: Path) -> bool:
    """Whether no service met anything that it had no word for, or gave up."""
    for name in SERVICES:
        log = (folder / f"{name}.log").read_text()
        for sign in ("unexpected_error", "message put aside", "part_died", "stop_failed"):
            assert sign not in log, f"{name}: {log[max(0, log.index(sign) - 500) :][:3000]}"
    return True
