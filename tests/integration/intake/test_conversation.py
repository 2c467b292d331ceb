"""What the conversation promises: who may say what, where an answer goes, how notes are edited."""

import asyncio
import json
from typing import Any

import pytest
from sqlalchemy import text
from waybill_chassis.ids import new_id
from waybill_intake.store.messages import _KIN

KIM = {"role": "submitter", "sub": "kim@example.com", "products": ("shop",)}
SHOP = {"role": "service", "sub": "shop", "products": ("shop",)}


def messages(ticket: dict[str, Any]) -> str:
    return f"/v1/tickets/{ticket['id']}/messages"


async def closed(intake: Any, **body: Any) -> dict[str, Any]:
    ticket = await intake.open(**body)
    found: dict[str, Any] = await intake.move(ticket, "in_progress", "resolved", "closed")
    return found


async def test_an_answer_to_a_closed_ticket_opens_one_that_follows_it(intake: Any) -> None:
    """About the same, for the same person; the closed one is told, and a second answer joins."""
    before = await closed(
        intake, submitter={"email": "kim@example.com", "name": "Kim", "tier": "gold"},
        type="order", order_refs=["7"],
    )  # fmt: skip
    response = await intake.tested.client.post(
        messages(before), json={"body": "It is *back*."}, headers=intake.token(**KIM)
    )
    assert response.status_code == 201, response.text
    said = response.json()
    assert said["ticket_id"] != before["id"]
    assert said["body"] == "It is *back*."
    assert response.headers["Location"] == f"/v1/tickets/{said['ticket_id']}"
    after = await intake.ask("GET", f"/v1/tickets/{said['ticket_id']}")
    assert (after["title"], after["description"]) == (f"Re: {before['title']}", "It is *back*.")
    assert (after["type"], after["product"], after["order_refs"]) == ("order", "shop", ["7"])
    assert (after["status"], after["submitter"]["id"]) == ("pending", before["submitter"]["id"])
    assert after["links"] == [
        {"kind": "follow_up", "ticket_id": before["id"], "number": before["number"]}
    ]
    old = await intake.read(before)
    assert (old["status"], [link["kind"] for link in old["links"]]) == ("closed", ["followed_by"])
    again = await intake.ask("POST", messages(before), {"body": "Still."}, status=201, **KIM)
    assert again["ticket_id"] == after["id"]
    assert await intake.names(after) == ["TicketOpened", "TicketLinked", "MessagePosted"]
    assert (await intake.names(before))[-1] == "TicketLinked"
    assert await intake.count("tickets") == 2


async def test_an_answer_follows_the_follow_ups_of_the_same_person_only(intake: Any) -> None:
    """To the newest that is open; one that an agent opened for somebody else is none of theirs."""
    before = await closed(intake)
    other = await intake.open(submitter={"email": "sam@example.com"})
    link = {"ticket": other["id"], "kind": "followed_by"}
    await intake.ask("POST", f"/v1/tickets/{before['id']}/links", link, status=201)
    first = await intake.ask("POST", messages(before), {"body": "1"}, status=201, **KIM)
    assert first["ticket_id"] != other["id"]
    await intake.move({"id": first["ticket_id"]}, "in_progress", "resolved", "closed")
    second = await intake.ask(
        "POST", f"/v1/tickets/{first['ticket_id']}/messages", {"body": "2"}, status=201, **KIM
    )
    assert second["ticket_id"] not in (first["ticket_id"], other["id"], before["id"])
    # The oldest mail answered once more: the last of the chain has it.
    third = await intake.ask("POST", messages(before), {"body": "3"}, status=201, **KIM)
    assert third["ticket_id"] == second["ticket_id"]


async def test_two_answers_at_once_open_one_follow_up(intake: Any) -> None:
    """Whichever comes second finds what the first has opened."""
    before = await closed(intake)
    said = await asyncio.gather(
        *(
            intake.ask("POST", messages(before), {"body": f"{n}"}, status=201, **KIM)
            for n in range(6)
        )
    )
    assert len({message["ticket_id"] for message in said}) == 1
    assert await intake.count("tickets") == 2
    (after,) = {message["ticket_id"] for message in said}
    seen = await intake.ask("GET", f"/v1/tickets/{after}/messages")
    assert len(seen["items"]) == 5


async def test_a_repeated_answer_is_one(intake: Any) -> None:
    """The same key is answered with the same follow-up."""
    before = await closed(intake)
    headers = intake.token(**KIM) | {"Idempotency-Key": "once"}
    first = await intake.ask("POST", messages(before), {"body": "x"}, status=201, headers=headers)
    again = await intake.ask("POST", messages(before), {"body": "x"}, status=201, headers=headers)
    assert again == first
    assert await intake.count("tickets") == 2


async def test_agents_are_shown_the_way_out_of_a_closed_ticket(intake: Any) -> None:
    """409, and where the follow-up is if there is one."""
    before = await closed(intake)
    refused = await intake.ask("POST", messages(before), {"body": "x"}, status=409)
    assert "open a new ticket" in refused["detail"]
    said = await intake.ask("POST", messages(before), {"body": "x"}, status=201, **SHOP)
    for kind in ("reply", "note"):
        body = {"body": "x", "kind": kind}
        refused = await intake.ask("POST", messages(before), body, status=409)
        assert refused["continued_in"] == said["ticket_id"]
    assert await intake.count("messages") == 0


async def test_answers_to_a_merged_ticket_go_into_the_one_that_remains(intake: Any) -> None:
    """Through several merges, from users and agents alike."""
    first, second, third = [await intake.open() for _ in range(3)]
    for source, target in ((third, second), (second, first)):
        await intake.ask("POST", f"/v1/tickets/{source['id']}/merge", {"into": target["id"]})
    for who in (KIM, SHOP, {}):
        said = await intake.ask("POST", messages(third), {"body": "x"}, status=201, **who)
        assert said["ticket_id"] == first["id"]
    note = {"body": "x", "kind": "note"}
    assert (await intake.ask("POST", messages(third), note, status=201))["ticket_id"] == first["id"]
    await intake.move(first, "resolved", "closed")
    follow = await intake.ask("POST", messages(third), {"body": "x"}, status=201, **KIM)
    assert follow["ticket_id"] not in (first["id"], second["id"], third["id"])
    assert await intake.count("tickets") == 4


async def test_a_products_messages_to_closed_tickets_open_follow_ups(
    intake: Any, record: Any
) -> None:
    """By id and by reference, one for each closed ticket, however many messages come at once."""
    plain = await closed(intake)
    known = await closed(intake, role="service", external_ref="case-1")

    def message(**fields: Any) -> Any:
        return record(json.dumps(fields).encode(), type="MessageRequested")

    author = {"email": "kim@example.com"}
    await intake.take_in(
        message(ticket_id=plain["id"], body="1", author=author),
        message(ticket_id=plain["number"], body="2"),
        message(external_ref="case-1", body="3"),
        message(ticket_id=known["id"], body="4", author=author),
    )
    await intake.take_in(message(external_ref="case-1", body="5"))
    assert await intake.count("tickets") == 4
    for before, description, said in ((plain, "1", ["2"]), (known, "3", ["4", "5"])):
        (link,) = (await intake.read(before))["links"]
        after = await intake.ask("GET", f"/v1/tickets/{link['ticket_id']}")
        assert (after["description"], after["external_ref"]) == (description, None)
        seen = await intake.ask("GET", messages(after))
        assert [one["body"] for one in seen["items"]] == said
    assert "RequestRejected" not in await intake.names()


async def test_a_refused_answer_does_not_hold_up_the_others(intake_with: Any, record: Any) -> None:
    """Of a person who was erased, or with follow-ups switched off: it is rejected alone."""

    def message(ticket: dict[str, Any]) -> Any:
        fields = {"ticket_id": ticket["id"], "body": "x"}
        return record(json.dumps(fields).encode(), type="MessageRequested")

    for follow_ups in (True, False):
        intake = await intake_with(follow_up_on_closed=follow_ups)
        before = await closed(intake)
        other = await intake.open(submitter={"email": "sam@example.com"})
        if follow_ups:
            person = f"/v1/submitters/{before['submitter']['id']}"
            root = intake.token("admin", sub="root@example.com")
            await intake.ask("POST", f"{person}/erasure", {}, headers=root)
        else:
            await intake.ask("POST", messages(before), {"body": "x"}, status=409, **KIM)
        await intake.take_in(message(before), message(other))
        assert sorted((await intake.names())[-2:]) == ["MessagePosted", "RequestRejected"]
        assert await intake.count("tickets") == 2


async def test_notes_are_edited_by_their_author_and_what_they_were_like_is_kept(
    intake: Any,
) -> None:
    """One event that never carries the words, one line of the log."""
    ticket = await intake.open()
    note = await intake.ask(
        "POST", messages(ticket), {"kind": "note", "body": "Ask @Ben@example.com."}, status=201
    )
    assert note["mentions"] == ["ben@example.com"]
    path = f"{messages(ticket)}/{note['id']}"
    edited = await intake.ask("PATCH", path, {"body": "Secret: `@x@example.com`"})
    assert (edited["body"], edited["mentions"]) == ("Secret: `@x@example.com`", [])
    assert edited["edited_at"] is not None
    assert await intake.ask("PATCH", path, {"body": "Secret: `@x@example.com`"}) == edited
    await intake.ask("PATCH", path, {"body": "Third.", "mentions": ["Chloe@example.com"]})
    history = await intake.ask("GET", f"{path}/history?limit=1")
    assert [one["body"] for one in history["items"]] == ["Ask @Ben@example.com."]
    assert history["items"][0]["editor"]["id"] == "ana@example.com"
    rest = await intake.ask("GET", f"{path}/history?cursor={history['next_cursor']}")
    assert [one["body"] for one in rest["items"]] == ["Secret: `@x@example.com`"]
    told = await intake.told(ticket)
    assert [event.name for event in told] == ["TicketOpened", "MessagePosted"] + [
        "TicketEdited"
    ] * 2
    for event in told[2:]:
        (change,) = event.message.changes
        assert change.field == "notes"
        assert change.before.string_value == change.after.string_value == note["id"]
        assert b"Secret" not in event.message.SerializeToString()
    log = await intake.ask("GET", f"/v1/tickets/{ticket['id']}/log")
    assert [line["summary"] for line in log["items"]][2:] == ["note edited by its author"] * 2
    (shown,) = (await intake.ask("GET", messages(ticket)))["items"]
    assert (shown["body"], shown["mentions"]) == ("Third.", ["chloe@example.com"])


async def test_nobody_else_edits_a_note_and_nobody_a_reply(intake: Any) -> None:
    """403 for another agent, 409 for a reply and for a closed ticket, 404 for foreign ones."""
    ticket, other = await intake.open(), await intake.open()
    note = await intake.ask("POST", messages(ticket), {"kind": "note", "body": "x"}, status=201)
    reply = await intake.ask("POST", messages(ticket), {"body": "x"}, status=201)
    path, new = f"{messages(ticket)}/{note['id']}", {"body": "y"}
    await intake.ask("PATCH", path, new, status=403, sub="ben@example.com")
    await intake.ask("PATCH", path, new, status=403, **KIM)
    await intake.ask("GET", f"{path}/history", status=403, **KIM)
    await intake.ask("PATCH", f"{messages(ticket)}/{reply['id']}", new, status=409)
    await intake.ask("PATCH", f"{messages(other)}/{note['id']}", new, status=404)
    await intake.ask("PATCH", f"{messages(ticket)}/{new_id()}", new, status=404)
    await intake.ask("PATCH", path, new, status=404, products=("toys",))
    await intake.ask("PATCH", path, {"body": " "}, status=422)
    await intake.ask("PATCH", path, new, status=412, headers=intake.token() | {"If-Match": '"1"'})
    await intake.move(ticket, "resolved", "closed")
    await intake.ask("PATCH", path, new, status=409)
    assert await intake.count("message_edits") == 0


async def test_submitters_and_products_see_no_notes_mentions_or_addresses(intake: Any) -> None:
    """Not in the list, not in the answer to what they post, whatever an agent's token says."""
    ticket = await intake.open(submitter={"email": "kim@example.com", "name": "Kim"})
    nameless = intake.token(sub="ana@example.com", claims={"name": "ana@example.com"})
    reply = {"body": "Hello", "mentions": ["ben@example.com"]}
    await intake.ask("POST", messages(ticket), reply, status=201, headers=nameless)
    note = {"kind": "note", "body": "Hm @ben@example.com"}
    await intake.ask("POST", messages(ticket), note, status=201, headers=nameless)
    answers = [await intake.ask("POST", messages(ticket), {"body": "Ah."}, status=201, **KIM)]
    for who in (KIM, SHOP):
        seen = await intake.ask("GET", f"{messages(ticket)}?expand=html", **who)
        assert [one["body"] for one in seen["items"]] == ["Hello", "Ah."]
        answers.append(seen)
    for answer in answers:
        words = json.dumps(answer)
        assert "ana@example.com" not in words
        assert "ben@example.com" not in words
    assert "kim@example.com" not in json.dumps(answers[:2])
    bodies = [one["mentions"] for one in (await intake.ask("GET", messages(ticket)))["items"]]
    assert bodies == [["ben@example.com"], ["ben@example.com"], []]


@pytest.mark.parametrize(
    ("who", "body", "status", "field"),
    [
        ({}, {}, 422, "body"),
        ({}, {"body": "x", "mentions": ["nobody"]}, 422, "mentions.0"),
        ({}, {"kind": "note", "body": " ".join(f"@a{n}@example.com" for n in range(21))}, 422,
         "body"),
        (KIM, {"body": "x", "mentions": ["ben@example.com"]}, 422, "mentions"),
        (KIM, {"body": "x", "quick_reply_id": "hi"}, 422, "quick_reply_id"),
    ],
)  # fmt: skip
async def test_a_wrong_message_names_the_field_and_says_nothing(
    intake: Any, who: dict[str, Any], body: dict[str, Any], status: int, field: str
) -> None:
    """Nothing is written."""
    ticket = await intake.open()
    problem = await intake.ask("POST", messages(ticket), body, status=status, **who)
    assert [error["field"] for error in problem["errors"]] == [field]
    assert await intake.count("messages") == 0


async def test_messages_are_shown_as_html_on_demand(intake: Any) -> None:
    """Sanitised; without being asked for there is none."""
    ticket = await intake.open()
    body = "**Hi** <script>alert(1)</script> [x](javascript:alert(1))"
    await intake.ask("POST", messages(ticket), {"body": body}, status=201)
    (plain,) = (await intake.ask("GET", messages(ticket)))["items"]
    assert "body_html" not in plain
    (shown,) = (await intake.ask("GET", f"{messages(ticket)}?expand=html"))["items"]
    assert shown["body"] == body
    assert "<strong>Hi</strong> &lt;script&gt;" in shown["body_html"]
    assert "href" not in shown["body_html"]
    await intake.ask("GET", f"{messages(ticket)}?expand=pdf", status=422)


async def test_answers_find_their_way_without_reading_all_tickets(intake: Any) -> None:
    """What goes on with a closed ticket is found by ids alone."""
    before = await closed(intake)
    async with intake.tested.rt.database.reading() as connection:
        await connection.execute(text("SET enable_seqscan = off"))
        rows = await connection.execute(
            text(f"EXPLAIN {_KIN.text}"), {"ids": [before["id"]], "most": 200}
        )
        plan = "\n".join(row[0] for row in rows)
    assert "Seq Scan" not in plan
