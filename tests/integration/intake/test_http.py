"""What the REST door promises."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

FIELDS = {
    "id",
    "number",
    "product",
    "type",
    "priority",
    "status",
    "title",
    "description",
    "language",
    "tags",
    "custom_fields",
    "channel",
    "submitter",
    "assignee",
    "erased_at",
    "suspected_duplicates",
    "watchers",
    "team",
    "order_refs",
    "order_links",
    "created_at",
    "updated_at",
    "first_response_at",
    "resolved_at",
    "closed_at",
    "close_reason",
    "response_seconds",
    "resolution_seconds",
    "sla",
    "escalation_level",
    "rating",
    "outcome",
    "merged_into",
    "version",
    "links",
    "attachment_ids",
    "attachments",
    "occurrences",
    "external_ref",
}
NEW = {"type": "technical", "title": "It does not start", "description": "Since this morning."}


async def test_a_ticket_has_the_fields_that_the_design_names(intake: Any) -> None:
    """A new ticket is pending, has a number, and says everything about itself."""
    ticket = await intake.open(
        submitter={"email": "Kim@Example.com", "name": "Kim"}, tags=["A", "a"], order_refs=["7"]
    )
    assert set(ticket) == FIELDS
    assert ticket["number"].startswith("WB-1")
    assert ticket["submitter"]["email"] == "kim@example.com"
    assert (ticket["status"], ticket["priority"], ticket["tags"]) == ("pending", "medium", ["a"])
    assert ticket["sla"]["response"] == {"state": None, "due_at": None}
    assert await intake.ask("GET", f"/v1/tickets/{ticket['number'].lower()}") == ticket
    (opened,) = await intake.told(ticket)
    assert (opened.name, opened.sequence) == ("TicketOpened", 1)
    assert opened.message.ticket.number == ticket["number"]
    assert opened.message.cause.type == "POST /v1/tickets"
    log = await intake.ask("GET", f"/v1/tickets/{ticket['id']}/log")
    assert [line["event_id"] for line in log["items"]] == [opened.id]


async def test_the_whole_way_of_a_ticket(intake: Any) -> None:
    """Answered, asked back, answered, solved, confirmed, rated: each step is told."""
    kim = {"role": "submitter", "sub": "kim@example.com", "products": ("shop",)}
    ticket = await intake.ask("POST", "/v1/tickets", NEW, status=201, **kim)
    path = f"/v1/tickets/{ticket['id']}"
    assert ticket["product"] == "shop"
    await intake.ask("POST", f"{path}/messages", {"body": "On it."}, status=201)
    await intake.move(ticket, "awaiting_user")
    said = await intake.ask("POST", f"{path}/messages", {"body": "Yes."}, status=201, **kim)
    assert said["author"]["kind"] == "submitter"
    await intake.ask("POST", f"{path}/messages", {"kind": "note", "body": "Hm."}, status=201)
    await intake.move(ticket, "resolved")
    closed = await intake.ask("POST", f"{path}/transitions", {"to": "closed"}, **kim)
    assert closed["close_reason"] == "user_confirmed"
    rated = await intake.ask("POST", f"{path}/rating", {"score": 5}, status=201, **kim)
    assert rated["rating"]["score"] == 5
    assert await intake.names(ticket) == [
        "TicketOpened", "MessagePosted", "TicketStatusChanged", "TicketStatusChanged",
        "MessagePosted", "TicketStatusChanged", "MessagePosted", "TicketStatusChanged",
        "TicketStatusChanged", "TicketRated",
    ]  # fmt: skip
    told = await intake.told(ticket)
    assert [event.sequence for event in told] == list(range(1, 11))
    assert [event.message.ticket.version for event in told] == list(range(1, 11))
    seen = await intake.ask("GET", f"{path}/messages", **kim)
    assert [message["body"] for message in seen["items"]] == ["On it.", "Yes."]
    assert seen["items"][0]["first_response"]
    assert seen["items"][0]["author"]["id"] is None
    log = await intake.ask("GET", f"{path}/log")
    assert [line["event_id"] for line in log["items"]] == [event.id for event in told]
    await intake.ask("POST", f"{path}/messages", {"body": "More."}, status=409)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"title": None}, "title"),
        ({"title": "  "}, "title"),
        ({"title": "x" * 201}, "title"),
        ({"description": "x" * 20_001}, "description"),
        ({"type": "riddle"}, "type"),
        ({"priority": 3}, "priority"),
        ({"colour": "red"}, "colour"),
        ({"submitter": {"email": "nobody"}}, "submitter.email"),
        ({"tags": "one"}, "tags"),
        ({"attachment_ids": [str(uuid4())]}, "attachment_ids.0"),
        ({"product": None}, "product"),
        ({"description": "a\x00b"}, "description"),
        ({"custom_fields": {"n": [10**400]}}, "custom_fields"),
        ({"custom_fields": {"n": "x" * 17_000}}, "custom_fields"),
    ],
)
async def test_a_wrong_body_names_the_field_and_opens_nothing(
    intake: Any, change: dict[str, Any], field: str
) -> None:
    """422, the field, and no ticket, person or event."""
    body = {**NEW, "product": "shop", **change}
    problem = await intake.ask("POST", "/v1/tickets", body, status=422)
    assert [error["field"] for error in problem["errors"]] == [field]
    for table in ("tickets", "submitters", "outbox", "ticket_log"):
        assert await intake.count(table) == 0


async def test_a_body_without_title_or_that_is_no_json_is_refused(intake: Any) -> None:
    """What is missing is named; what cannot be read is told apart."""
    body = {key: value for key, value in NEW.items() if key != "title"}
    problem = await intake.ask("POST", "/v1/tickets", body | {"product": "shop"}, status=422)
    assert problem["detail"] == "title is required."
    response = await intake.tested.client.post(
        "/v1/tickets",
        content=b"{",
        headers=intake.token() | {"Content-Type": "application/json"},
    )
    assert response.status_code == 400


async def test_nobody_sees_or_changes_what_is_not_theirs(intake: Any) -> None:
    """Others' tickets do not exist; roles that do not suffice are refused."""
    ticket = await intake.open()
    path = f"/v1/tickets/{ticket['id']}"
    eve: dict[str, Any] = {"role": "submitter", "sub": "eve@example.com"}
    other: dict[str, Any] = {"role": "agent", "products": ("other",)}
    service: dict[str, Any] = {"role": "service", "sub": "svc", "products": ("other",)}
    for caller in (eve, other, service):
        await intake.ask("GET", path, status=404, **caller)
        await intake.ask("GET", f"{path}/messages", status=404, **caller)
        await intake.ask("POST", f"{path}/messages", {"body": "x"}, status=404, **caller)
        await intake.ask("POST", f"{path}/transitions", {"to": "resolved"}, status=404, **caller)
        assert (await intake.ask("GET", "/v1/tickets", **caller))["items"] == []
    kim: dict[str, Any] = {"role": "submitter", "sub": "kim@example.com"}
    await intake.ask("GET", f"{path}/log", status=403, **kim)
    await intake.ask("POST", f"{path}/merge", {"into": path}, status=403, **kim)
    await intake.ask("POST", f"{path}/messages", {"kind": "note", "body": "x"}, status=403, **kim)
    await intake.ask("POST", "/v1/tickets", NEW | {"product": "shop"}, status=403, **other)
    await intake.ask(
        "POST", "/v1/tickets", NEW | {"product": "shop", "external_ref": "1"}, status=422, **kim
    )
    await intake.ask("GET", path, status=401, headers={"Authorization": "Bearer nonsense"})
    await intake.ask("GET", f"/v1/tickets/{uuid4()}", status=404)
    await intake.ask("GET", "/v1/tickets/WB-9", status=404)
    assert await intake.names() == ["TicketOpened"]


async def test_a_refused_move_names_the_allowed_ones_and_changes_nothing(intake: Any) -> None:
    """409 with `allowed`."""
    ticket = await intake.open()
    problem = await intake.ask(
        "POST", f"/v1/tickets/{ticket['id']}/transitions", {"to": "awaiting_user"}, status=409
    )
    assert problem["allowed"] == ["in_progress", "resolved", "closed"]
    assert await intake.read(ticket) == ticket


async def test_a_stale_version_is_refused(intake: Any) -> None:
    """PATCH needs If-Match and a fresh one; a transition may leave it out."""
    ticket = await intake.open()
    path = f"/v1/tickets/{ticket['id']}"
    await intake.ask("PATCH", path, {"priority": "high"}, status=428)
    fresh = intake.token() | {"If-Match": '"1"'}
    changed = await intake.ask("PATCH", path, {"priority": "high"}, headers=fresh)
    assert (changed["priority"], changed["version"]) == ("high", 2)
    await intake.ask("PATCH", path, {"priority": "low"}, status=412, headers=fresh)
    await intake.ask("POST", f"{path}/transitions", {"to": "resolved"}, status=412, headers=fresh)
    fresh["If-Match"] = '"2"'
    await intake.ask("PATCH", path, {"description": "x"}, status=422, headers=fresh)
    await intake.ask("PATCH", path, {}, status=422, headers=fresh)
    same = await intake.ask("PATCH", path, {"priority": "high"}, headers=fresh)
    assert same["version"] == 2
    (_, edited) = await intake.told(ticket)
    (change,) = edited.message.changes
    assert (change.field, change.before.string_value) == ("priority", "medium")
    assert list(edited.message.ticket.set_by_person) == ["priority", "type"]


async def test_an_idempotency_key_opens_one_ticket(intake: Any) -> None:
    """The same key and body gets the same answer; another body is refused."""
    headers = intake.token() | {"Idempotency-Key": "k1"}
    body = NEW | {"product": "shop"}
    first = await intake.ask("POST", "/v1/tickets", body, status=201, headers=headers)
    assert await intake.ask("POST", "/v1/tickets", body, status=201, headers=headers) == first
    await intake.ask("POST", "/v1/tickets", body | {"title": "y"}, status=422, headers=headers)
    assert await intake.count("tickets") == 1


async def test_tickets_that_are_opened_at_once_are_each_opened_once(intake: Any) -> None:
    """Each has its own number, event, log and answer; whoever is refused hurts nobody."""
    schema = {"type": "object", "properties": {"seat": {"type": "integer"}}}
    await intake.ask(
        "PUT",
        "/v1/intake/settings/shop",
        {"custom_fields": schema},
        headers=intake.token("admin") | {"If-Match": "*"},
    )

    def body(number: int) -> dict[str, Any]:
        person = {"email": f"kim{number % 3}@example.com"}
        wrong = {"custom_fields": {"seat": "x"}} if number == 7 else {}
        return NEW | {"product": "shop", "title": f"No {number}", "submitter": person} | wrong

    async def open_one(number: int) -> dict[str, Any]:
        headers = intake.token() | {"Idempotency-Key": f"k{number}"}
        status = 422 if number == 7 else 201
        found: dict[str, Any] = await intake.ask(
            "POST", "/v1/tickets", body(number), status=status, headers=headers
        )
        return found

    answers = await asyncio.gather(*map(open_one, range(20)))
    refused = answers.pop(7)
    assert refused["errors"][0]["field"] == "custom_fields.seat"
    assert len({ticket["number"] for ticket in answers}) == 19
    for ticket in answers:
        number = int(ticket["title"].split()[1])
        assert ticket["submitter"]["email"] == f"kim{number % 3}@example.com"
        assert await intake.ask("GET", f"/v1/tickets/{ticket['id']}") == ticket
        (opened,) = await intake.told(ticket)
        assert (opened.name, opened.sequence) == ("TicketOpened", 1)
        log = await intake.ask("GET", f"/v1/tickets/{ticket['id']}/log")
        assert [line["event_id"] for line in log["items"]] == [opened.id]
    again = await asyncio.gather(*map(open_one, range(20)))
    assert [ticket for number, ticket in enumerate(again) if number != 7] == answers
    assert await intake.count("tickets") == 19


async def test_lists_are_filtered_and_paged(intake: Any) -> None:
    """The newest first; each filter narrows; the cursor misses and repeats nothing."""
    made = []
    for number in range(5):
        intake.tested.clock.advance(timedelta(seconds=number % 2))
        made.append(
            await intake.open(
                priority="high" if number % 2 else "low",
                tags=[f"t{number}"],
                submitter={"email": f"p{number}@example.com"},
                product="shop" if number else "bank",
            )
        )
    await intake.move(made[4], "resolved")
    seen, cursor = [], ""
    while cursor is not None:
        page = await intake.ask("GET", f"/v1/tickets?limit=2{cursor and '&cursor=' + cursor}")
        seen += [ticket["id"] for ticket in page["items"]]
        cursor = page["next_cursor"]
    order = sorted(made, key=lambda ticket: (ticket["created_at"], ticket["id"]), reverse=True)
    assert seen == [ticket["id"] for ticket in order]
    for query, expected in {
        "priority=high": {1, 3},
        "status=resolved": {4},
        "status=resolved&status=pending&product=shop": {1, 2, 3, 4},
        "tag=T2": {2},
        "submitter=P3@example.com": {3},
        f"submitter={made[2]['submitter']['id']}": {2},
        "unassigned=true&product=bank": {0},
        "assignee=me": set(),
        "type=order": set(),
    }.items():
        page = await intake.ask("GET", f"/v1/tickets?{query}")
        assert {ticket["id"] for ticket in page["items"]} == {made[n]["id"] for n in expected}
    await intake.ask("GET", "/v1/tickets?cursor=nonsense", status=422)
    await intake.ask("GET", "/v1/tickets?status=lost", status=422)


async def test_an_external_ref_stands_for_one_open_ticket(intake: Any) -> None:
    """A repeat counts up and reopens; after the closing a new ticket follows."""
    body = NEW | {"product": "shop", "external_ref": "alert-7"}
    first = await intake.open(external_ref="alert-7")
    again = await intake.ask("POST", "/v1/tickets", body)
    assert (again["id"], again["occurrences"]) == (first["id"], 2)
    await intake.move(first, "resolved")
    reopened = await intake.ask("POST", "/v1/tickets", body)
    assert (reopened["id"], reopened["status"]) == (first["id"], "in_progress")
    await intake.move(first, "resolved", "closed")
    follow_up = await intake.ask("POST", "/v1/tickets", body, status=201)
    assert follow_up["id"] != first["id"]
    assert [link["kind"] for link in follow_up["links"]] == ["follow_up"]
    assert (await intake.read(first))["links"][0]["number"] == follow_up["number"]
    assert await intake.names(follow_up) == ["TicketOpened", "TicketLinked"]


async def test_the_same_external_ref_at_once_opens_one_ticket(intake: Any) -> None:
    """Of simultaneous requests one opens, the others count up."""
    answers = await asyncio.gather(
        *(
            intake.tested.client.post(
                "/v1/tickets",
                json=NEW | {"product": "shop", "external_ref": "x"},
                headers=intake.token(),
            )
            for _ in range(6)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [201]
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert (await intake.read(answers[0].json()))["occurrences"] == 6


async def test_of_two_moves_with_one_version_one_wins(intake: Any) -> None:
    """The other is told that its version is stale."""
    ticket = await intake.open()
    headers = intake.token() | {"If-Match": '"1"'}
    answers = await asyncio.gather(
        *(
            intake.tested.client.post(
                f"/v1/tickets/{ticket['id']}/transitions", json={"to": to}, headers=headers
            )
            for to in ("in_progress", "resolved")
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200, 412]
    assert (await intake.read(ticket))["version"] == 2


async def test_two_opposite_merges_leave_one_survivor(intake: Any) -> None:
    """Neither deadlock nor two duplicates of one another."""
    for _ in range(5):
        one, other = await intake.open(priority="urgent"), await intake.open()
        answers = await asyncio.gather(
            *(
                intake.tested.client.post(
                    f"/v1/tickets/{source['id']}/merge",
                    json={"into": target["number"]},
                    headers=intake.token(),
                )
                for source, target in ((one, other), (other, one))
            )
        )
        assert sorted(answer.status_code for answer in answers) == [200, 409]
        ends = [await intake.read(one), await intake.read(other)]
        (survivor,) = [end for end in ends if end["status"] == "pending"]
        (gone,) = [end for end in ends if end["status"] == "closed"]
        assert (gone["close_reason"], gone["merged_into"]) == ("duplicate", survivor["id"])
        assert survivor["priority"] == "urgent"
        assert (await intake.names(gone))[-2:] == ["TicketStatusChanged", "TicketMerged"]
        assert (await intake.names(survivor))[-1] == "TicketMerged"
    await intake.ask("POST", f"/v1/tickets/{survivor['id']}/merge", {"into": "WB-1"}, status=404)


async def test_links_and_ratings_are_made_once(intake: Any) -> None:
    """A repeated link changes nothing; a second rating is refused."""
    one, other = await intake.open(), await intake.open()
    path = f"/v1/tickets/{one['id']}"
    await intake.ask("POST", f"{path}/links", {"ticket": other["number"]}, status=201)
    await intake.ask("POST", f"{path}/links", {"ticket": other["number"]}, status=200)
    await intake.ask("POST", f"{path}/links", {"ticket": one["number"]}, status=422)
    assert await intake.names(other) == ["TicketOpened", "TicketLinked"]
    kim: dict[str, Any] = {"role": "submitter", "sub": "kim@example.com"}
    await intake.ask("POST", f"{path}/rating", {"score": 5}, status=409, **kim)
    await intake.move(one, "resolved", "closed")
    await intake.ask("POST", f"{path}/rating", {"score": 6}, status=422, **kim)
    await intake.ask("POST", f"{path}/rating", {"score": 5}, status=403)
    await intake.ask("POST", f"{path}/rating", {"score": 5}, status=201, **kim)
    await intake.ask("POST", f"{path}/rating", {"score": 4}, status=409, **kim)


async def test_submitters_are_shown_the_links_of_their_own_story_only(intake: Any) -> None:
    """What a ticket blocks, or is like, may be somebody else's; agents and products see it."""
    ticket, other = await intake.open(), await intake.open(submitter={"email": "lee@example.com"})
    path = f"/v1/tickets/{ticket['id']}"
    for kind in ("blocks", "related"):
        body = {"ticket": other["id"], "kind": kind}
        await intake.ask("POST", f"{path}/links", body, status=201)
    moved = await intake.move(ticket, "resolved", "closed")
    own = {"role": "submitter", "sub": "kim@example.com"}
    answer = await intake.ask("POST", f"{path}/messages", {"body": "Again."}, status=201, **own)
    assert [one["kind"] for one in moved["links"]] == ["blocks", "related"]
    shown = await intake.ask("GET", path, **own)
    assert [one["ticket_id"] for one in shown["links"]] == [answer["ticket_id"]]
    (listed,) = (await intake.ask("GET", "/v1/tickets?status=closed", **own))["items"]
    assert listed["links"] == shown["links"]
    assert len((await intake.ask("GET", path, role="service"))["links"]) == 3


async def test_what_an_agent_asks_with_a_move_reaches_the_user(intake: Any) -> None:
    """The question is a reply, and what was said with any move stands in the log."""
    ticket = await intake.open()
    path = f"/v1/tickets/{ticket['id']}"
    ask = {"to": "awaiting_user", "comment": "Which model\nis it?"}
    await intake.ask("POST", f"{path}/transitions", ask, status=409)
    await intake.move(ticket, "in_progress")
    asked = await intake.ask("POST", f"{path}/transitions", ask)
    assert (asked["status"], asked["first_response_at"] is None) == ("awaiting_user", False)
    own = {"role": "submitter", "sub": "kim@example.com"}
    (said,) = (await intake.ask("GET", f"{path}/messages", **own))["items"]
    assert (said["kind"], said["body"]) == ("reply", ask["comment"])
    done = {"to": "resolved", "comment": "Replaced it."}
    await intake.ask("POST", f"{path}/transitions", done)
    lines = [one["summary"] for one in (await intake.ask("GET", f"{path}/log"))["items"]]
    assert lines[-1] == "awaiting_user -> resolved: Replaced it."
    assert "in_progress -> awaiting_user" in lines
