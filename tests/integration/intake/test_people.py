"""The people tickets are for: their page, who watches, and forgetting them."""

import asyncio
import itertools
import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from waybill.notify.v1.delivery_pb2 import Delivery
from waybill.notify.v1.events_pb2 import NotificationDelivered
from waybill_chassis.causes import automation
from waybill_intake import erasing
from waybill_intake.attachments.objects import Objects
from waybill_intake.attachments.sweeping import sweep

KIM, LEE = "kim.zweistein@example.com", "lee@example.com"
NAME = "Kim Zweistein"
MARKS = (KIM, NAME, "zweistein", "quokka")
PERSON = {"email": KIM, "name": NAME}

_TABLES = (
    "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
)


async def leftovers(intake: Any, marks: tuple[str, ...] = MARKS) -> dict[str, list[str]]:
    """The rows of all tables in which one of the marks stands, published events left out."""
    found: dict[str, list[str]] = {}
    async with intake.tested.rt.database.reading() as connection:
        for name in (await connection.execute(text(_TABLES))).scalars().all():
            rows = await connection.execute(
                text(
                    f"""
                    SELECT CAST(t AS text) FROM {name} AS t WHERE EXISTS (
                        SELECT FROM unnest(CAST(:marks AS text[])) AS mark
                        WHERE strpos(lower(CAST(t AS text)), lower(mark)) > 0
                        OR strpos(lower(CAST(t AS text)), encode(convert_to(mark, 'UTF8'), 'hex'))
                           > 0)
                    """
                ),
                {"marks": list(marks)},
            )
            if kept := [str(row) for row in rows.scalars()]:
                found[name] = kept
    return found


def contents(folder: Path) -> list[bytes]:
    """All objects."""
    return [path.read_bytes() for path in folder.rglob("*") if path.is_file()]


async def erase(intake: Any, id: str, **options: Any) -> dict[str, Any]:
    options.setdefault("role", "admin")
    found: dict[str, Any] = await intake.ask("POST", f"/v1/submitters/{id}/erasure", **options)
    return found


async def published(intake: Any) -> None:
    """As if the relay had emptied the outbox."""
    async with intake.tested.rt.database.unit_of_work() as uow:
        await uow.execute(text("DELETE FROM outbox"))


async def test_a_person_is_found_and_shown_with_what_the_caller_may_see(intake: Any) -> None:
    """Counts, ratings and tickets are those of the caller's products; else nobody is there."""
    first = await intake.open(submitter=PERSON | {"tier": "gold"})
    await intake.open(submitter={"email": KIM}, product="bank")
    await intake.open(submitter={"email": LEE, "name": "Lee"})
    first = await intake.move(first, "resolved", "closed")
    owner = intake.token("submitter", sub=KIM)
    await intake.ask(
        "POST", f"/v1/tickets/{first['id']}/rating", {"score": 4}, status=201, headers=owner
    )
    id = first["submitter"]["id"]
    for query in (f"email={KIM.upper()}", "name=zwei", "name=kim%20zweist"):
        (found,) = (await intake.ask("GET", f"/v1/submitters?{query}"))["items"]
        assert (found["id"], found["total"], found["open"]) == (id, 2, 1)
    assert (await intake.ask("GET", "/v1/submitters?name=nobody"))["items"] == []
    everybody = await intake.ask("GET", "/v1/submitters?limit=1")
    assert len(everybody["items"]) == 1
    assert everybody["next_cursor"]

    page = await intake.ask("GET", f"/v1/submitters/{id}", products=("shop",))
    assert (page["total"], page["open"], page["average_rating"]) == (1, 0, 4.0)
    assert page["tiers"] == ["gold"]
    assert [one["id"] for one in page["last_tickets"]] == [first["id"]]
    listed = await intake.ask("GET", f"/v1/submitters/{id}/tickets", products=("shop",))
    assert [one["id"] for one in listed["items"]] == [first["id"]]
    elsewhere = {"products": ("elsewhere",)}
    await intake.ask("GET", f"/v1/submitters/{id}", status=404, **elsewhere)
    assert (await intake.ask("GET", f"/v1/submitters?email={KIM}", **elsewhere))["items"] == []

    await intake.ask("PATCH", f"/v1/submitters/{id}", {"name": "K. Zweistein"})
    assert (await intake.read(first))["submitter"]["name"] == "K. Zweistein"
    me = await intake.ask("GET", "/v1/me", headers=owner)
    assert (me["email"], me["submitter"]["total"]) == (KIM, 2)


async def test_watchers_come_and_go_and_only_agents_see_them(intake: Any) -> None:
    """To watch twice is to watch once; each change is one event and one line of the log."""
    ticket = await intake.open()
    at = f"/v1/tickets/{ticket['id']}/watchers"
    await intake.ask("PUT", f"{at}/me", sub="ben@example.com")
    await intake.ask("PUT", f"{at}/Chloe@example.com", {"name": "Chloe"})
    found = await intake.ask("PUT", f"{at}/chloe@example.com")
    assert found["items"] == [
        {"email": "ben@example.com", "name": "Ben"},
        {"email": "chloe@example.com", "name": "Chloe"},
    ]
    assert await intake.names(ticket) == ["TicketOpened", "TicketEdited", "TicketEdited"]
    change = (await intake.told(ticket))[-1].message.changes[0]
    assert change.field == "watchers"
    assert list(change.after.list_value) == ["ben@example.com", "chloe@example.com"]
    assert len((await intake.read(ticket))["watchers"]) == 2
    owner = intake.token("submitter", sub="kim@example.com")
    seen = await intake.ask("GET", f"/v1/tickets/{ticket['id']}", headers=owner)
    assert seen["watchers"] is None
    await intake.ask("GET", at, status=403, headers=owner)
    await intake.ask("PUT", f"{at}/nobody", status=422)
    for _ in range(2):
        response = await intake.tested.client.delete(
            f"{at}/me", headers=intake.token(sub="ben@example.com")
        )
        assert response.status_code == 204
    log = (await intake.ask("GET", f"/v1/tickets/{ticket['id']}/log"))["items"]
    assert log[-1]["summary"].startswith("watchers: ")
    assert len(log) == 4
    await intake.move(ticket, "resolved", "closed")
    await intake.ask("PUT", f"{at}/me", status=409)


async def a_life(intake: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """An open, a closed and somebody else's ticket, all full of Kim."""
    owner = intake.token("submitter", sub=KIM, claims={"name": NAME})
    agent = intake.token("agent", sub="ana@example.com")
    key = {"Idempotency-Key": "once"}
    file = await intake.upload(b"quokka in a file", "quokka.txt", headers=owner)
    body = {
        "type": "order",
        "title": "The quokka title",
        "description": f"I am {NAME}, and the quokka is late.",
        "product": "shop",
        "order_refs": ["QUOKKA-1"],
        "custom_fields": {"pet": "quokka"},
        "tags": ["animals"],
    }
    opened = await intake.ask(
        "POST", "/v1/tickets", body | {"attachment_ids": [file["id"]]}, status=201,
        headers=owner | key,
    )  # fmt: skip
    await intake.upload(b"quokka that waits", "quokka2.txt", headers=owner)
    closed = await intake.ask("POST", "/v1/tickets", body, status=201, headers=owner)
    other = await intake.open(submitter={"email": LEE, "name": "Lee"}, product="shop")
    for ticket in (opened, closed):
        at = f"/v1/tickets/{ticket['id']}"
        said = {"body": "My quokka has phoned."}
        await intake.ask("POST", f"{at}/messages", said, status=201, headers=owner | key)
        reply = {"body": f"Dear {NAME.upper()}, is {KIM} still right?"}
        await intake.ask("POST", f"{at}/messages", reply, status=201, headers=agent)
        note = {"body": f"{NAME} again (@ana@example.com)", "kind": "note"}
        note = await intake.ask("POST", f"{at}/messages", note, status=201, headers=agent)
        shorter = {"body": "(@ana@example.com)"}
        await intake.ask("PATCH", f"{at}/messages/{note['id']}", shorter, headers=agent)
        patch = {"title": "A better quokka title", "order_refs": ["QUOKKA-2"]}
        await intake.ask("PATCH", at, patch, headers=agent | {"If-Match": "*"})
    await intake.move(closed, "resolved")
    again = {"to": "in_progress", "comment": "The quokka is back."}
    at = f"/v1/tickets/{closed['id']}/transitions"
    await intake.ask("POST", at, again, headers=owner)
    closed = await intake.move(closed, "resolved", "closed")
    rating = {"score": 2, "comment": "Where is the quokka?"}
    at = f"/v1/tickets/{closed['id']}/rating"
    await intake.ask("POST", at, rating, status=201, headers=owner)
    await intake.ask("PUT", f"/v1/tickets/{other['id']}/watchers/{KIM}", {"name": NAME})
    return opened, closed, other


async def test_an_erased_person_is_in_no_table_any_more(
    intake: Any, event: Callable[..., Any], record: Callable[..., Any]
) -> None:
    """What they wrote is gone, what others wrote stays without them, and the facts stay."""
    opened, closed, other = await a_life(intake)
    guest = (
        f'{{"ticket_id": "{other["number"]}", "body": "A quokka!", "author": {{"email": "{KIM}"}}}}'
    )
    await intake.take_in(record(guest.encode(), "MessageRequested"))
    delivered = NotificationDelivered(
        actor=automation("notify"),
        delivery=Delivery(ticket_id=closed["id"], template="receipt", recipient=KIM),
    )
    await intake.hear(event(closed, delivered))
    assert await leftovers(intake)
    await published(intake)
    id = opened["submitter"]["id"]

    before = await intake.read(closed)
    done = await erase(intake, id)
    assert done["tickets"] == 2
    assert set(await leftovers(intake)) == {"outbox"}
    told = await intake.told()
    (person,) = [one.message for one in told if one.name == "PersonErased"]
    assert (person.email, person.submitter_id) == (KIM, id)
    assert set(person.ticket_ids) == {opened["id"], closed["id"]}
    folder = Path(intake.tested.rt.settings.data_dir, "attachments")
    assert all(b"quokka" in content for content in contents(folder))
    await sweep(intake.tested.rt.database, Objects("", folder))
    assert contents(folder) == []
    assert all(
        mark not in str(one.message).lower()
        for one in told
        if one.name != "PersonErased"
        for mark in ("quokka", "zweistein")
    )

    await intake.hear(event(closed, delivered, sequence=2))
    await published(intake)
    assert await leftovers(intake) == {}

    after = await intake.read(closed)
    kept = ("number", "status", "created_at", "closed_at", "close_reason", "tags", "type",
            "response_seconds", "resolution_seconds", "first_response_at")  # fmt: skip
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert (after["title"], after["description"]) == ("(erased)", "(erased)")
    assert after["submitter"] == {"id": id, "email": "", "name": ""}
    assert (after["rating"]["score"], after["rating"]["comment"]) == (2, "")
    assert after["erased_at"] == done["erased_at"]
    assert (await intake.read(opened))["close_reason"] == "no_action_needed"
    bodies = [
        one["body"]
        for one in (await intake.ask("GET", f"/v1/tickets/{closed['id']}/messages"))["items"]
    ]
    assert bodies[0] == "(erased)"
    assert bodies[1] == "Dear (erased), is (erased) still right?"
    summaries = [
        line["summary"]
        for line in (await intake.ask("GET", f"/v1/tickets/{opened['id']}/log"))["items"]
    ]
    reason = "The personal data of the submitter was erased."
    assert f"in_progress -> closed (no_action_needed): {reason}" in summaries
    assert (await intake.read(other))["watchers"] == []


async def test_an_erasure_is_done_once_and_the_same_address_comes_back_as_somebody_new(
    intake: Any,
) -> None:
    """Asked for again it tells the same; a key of before does not bring its request back."""
    opened, closed, _ = await a_life(intake)
    id = opened["submitter"]["id"]
    owner = intake.token("submitter", sub=KIM)
    await erase(intake, id, role="lead", status=403)
    await erase(intake, id, role="service", status=403)
    done = await erase(intake, id)
    told = len(await intake.told())
    intake.tested.clock.advance(timedelta(hours=1))
    assert await erase(intake, id) == done
    assert len(await intake.told()) == told
    await erase(intake, "01900000-0000-7000-8000-000000000000", status=404)
    for ticket in (opened, closed):
        await intake.ask("GET", f"/v1/tickets/{ticket['id']}", status=404, headers=owner)
    assert (await intake.ask("GET", "/v1/tickets", headers=owner))["items"] == []
    again = await intake.ask(
        "POST",
        f"/v1/tickets/{opened['id']}/messages",
        {"body": "My quokka has phoned."},
        status=410,
        headers=owner | {"Idempotency-Key": "once"},
    )
    assert "erased" in again["detail"]
    anew = await intake.open(submitter=PERSON)
    assert anew["submitter"]["id"] != id
    assert anew["submitter"]["name"] == NAME
    assert (await intake.ask("GET", f"/v1/submitters/{id}"))["email"] == ""


async def test_events_that_wait_for_the_broker_lose_the_words_and_keep_their_place(
    intake: Any,
) -> None:
    """An outage does not keep a person alive, nor does it tear a hole into a ticket's history."""
    opened, _, other = await a_life(intake)
    before = await intake.told()
    await erase(intake, opened["submitter"]["id"])
    after = (await intake.told())[: len(before)]
    assert [(one.id, one.name, one.sequence) for one in after] == [
        (one.id, one.name, one.sequence) for one in before
    ]
    for one in after:
        assert not any(mark.lower() in str(one.message).lower() for mark in (KIM, NAME, "quokka"))
    (first, *_) = [one.message.ticket for one in after if one.subject == other["id"]]
    assert (first.title, first.submitter.email) == ("It does not start", LEE)


async def test_somebody_without_tickets_of_their_own_is_erased_by_address(
    intake: Any, record: Callable[..., Any]
) -> None:
    """Whoever only wrote in others' tickets has no page, but an address."""
    other = await intake.open(submitter={"email": LEE})
    said = {"ticket_id": other["id"], "body": "A quokka!", "author": {"email": KIM, "name": NAME}}
    await intake.take_in(record(json.dumps(said).encode(), "MessageRequested"))
    await intake.ask(
        "POST",
        "/v1/views",
        {"name": f"All of {NAME}", "filter": {"submitter": [KIM]}},
        status=201,
    )
    await published(intake)
    assert set(await leftovers(intake)) >= {"messages", "saved_views"}
    done = await erase(intake, KIM.upper())
    assert done["tickets"] == 0
    assert set(await leftovers(intake)) == {"outbox"}
    assert (await intake.read(other))["erased_at"] is None
    await erase(intake, "nobody", status=422)


@pytest.mark.parametrize("batch", [1, 2])
async def test_somebody_with_many_tickets_is_erased_in_steps(
    intake: Any, monkeypatch: pytest.MonkeyPatch, batch: int
) -> None:
    """Each step tells of its own tickets, and until the last they can still be found."""
    monkeypatch.setattr(erasing.erase, "__defaults__", (batch,))
    opened, closed, _ = await a_life(intake)
    third = await intake.open(submitter=PERSON)
    await published(intake)
    done = await erase(intake, opened["submitter"]["id"])
    assert done["tickets"] == 3
    told = [one.message for one in await intake.told() if one.name == "PersonErased"]
    named = list(itertools.chain.from_iterable(one.ticket_ids for one in told))
    assert sorted(named) == sorted([opened["id"], closed["id"], third["id"]])
    assert all(one.email == KIM for one in told)
    await published(intake)
    assert await leftovers(intake) == {}


async def test_an_erasure_that_broke_off_goes_on_by_itself(
    intake: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever happens to the process that began: another one finishes, in the same name."""
    opened, closed, _ = await a_life(intake)
    whole, steps = erasing._step, []

    async def dies(*rest: Any) -> Any:
        if steps:
            raise ConnectionResetError
        steps.append(rest)
        return await whole(*rest)

    monkeypatch.setattr(erasing.erase, "__defaults__", (1,))
    monkeypatch.setattr(erasing, "_step", dies)
    await erase(intake, opened["submitter"]["id"], status=503)
    monkeypatch.setattr(erasing, "_step", whole)
    database = intake.tested.rt.database
    await erasing.finish(database)
    assert await leftovers(intake), "the one who began may still be at it"
    intake.tested.clock.advance(timedelta(minutes=2))
    await erasing.finish(database, batch=1)
    told = [one.message for one in await intake.told() if one.name == "PersonErased"]
    assert sorted(id for one in told for id in one.ticket_ids) == sorted(
        [opened["id"], closed["id"]]
    )
    assert {(one.actor.email, one.cause.type) for one in told} == {
        (told[0].actor.email, "POST /v1/submitters/{id}/erasure")
    }
    await published(intake)
    assert await leftovers(intake) == {}


async def test_what_comes_during_an_erasure_is_erased_or_somebody_elses(intake: Any) -> None:
    """Messages, ratings, watchers and tickets at the same moment: nothing is half erased."""
    owner = intake.token("submitter", sub=KIM, claims={"name": NAME})
    for _ in range(4):
        first = await intake.open(submitter=PERSON)
        id = first["submitter"]["id"]
        at = f"/v1/tickets/{first['id']}"

        async def say(at: str = at) -> int:
            body = {"body": f"{NAME}'s quokka"}
            answer = await intake.tested.client.post(f"{at}/messages", json=body, headers=owner)
            return int(answer.status_code)

        async def come() -> Any:
            body = {"type": "order", "title": "quokka", "description": NAME, "product": "shop"}
            answer = await intake.tested.client.post("/v1/tickets", json=body, headers=owner)
            assert answer.status_code == 201, answer.text
            return answer.json()

        said = [say() for _ in range(3)]
        *codes, new, also_new, _ = await asyncio.gather(*said, come(), come(), erase(intake, id))
        assert set(codes) <= {201, 404, 409}
        for ticket in (new, also_new):
            now = await intake.read(ticket)
            assert (now["submitter"]["id"] == id) == (now["erased_at"] is not None)
        # Whoever came too late for that erasure is somebody new, and nothing of them is missing.
        for ticket in (new, also_new):
            await erase(intake, (await intake.read(ticket))["submitter"]["id"])
        await published(intake)
        assert await leftovers(intake) == {}


async def test_what_agents_saved_goes_on_working_after_an_erasure(intake: Any) -> None:
    """A view about the person goes; in others only free words change, whatever they are called."""
    ticket = await intake.open(submitter={"email": KIM, "name": "Open"})
    views = [
        {"name": "Kim", "filter": {"submitter": [KIM]}},
        {"name": "Open ones", "filter": {"status": ["pending"], "q": "open door"}},
        {"name": "Old", "filter": {"close_reason": ["resolved"], "tag": ["open"]}},
    ]
    for view in views:
        await intake.ask("POST", "/v1/views", view, status=201)
    await erase(intake, ticket["submitter"]["id"])
    kept = (await intake.ask("GET", "/v1/views?counts=true"))["items"]
    assert [view["filter"] for view in kept] == [
        {"status": ["pending"], "q": "(erased) door"},
        {"close_reason": ["resolved"], "tag": ["(erased)"]},
    ]
