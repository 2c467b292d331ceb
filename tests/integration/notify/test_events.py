"""What notify makes of what it hears: deliveries, pictures and the products' feeds."""

import json
from typing import Any

from waybill_chassis.events import NO_TRACE
from waybill_chassis.ids import new_id
from waybill_notify import store, usecases
from waybill_notify.domain import Outcome, Verdict
from waybill_notify.usecases import Result

FEED = "waybill.feed.demo.v1"


def updates(rows: Any) -> list[dict[str, Any]]:
    return [json.loads(row.payload) for row in rows]


async def test_one_delivery_an_event_whatever_is_redelivered(notify: Any) -> None:
    """The same event again, even past the inbox, makes no second delivery."""
    told = notify.ticket()
    events = [told.opened(), told.message("hello")]
    await notify.hear(*events)
    await notify.hear(*events)
    rows = await notify.deliveries()
    assert [row.template for row in rows] == ["receipt", "agent_reply"]
    assert rows[0].traceparent == events[0].trace.traceparent


async def test_a_ticket_s_public_life_is_on_the_feed_without_gaps(notify: Any, pb: Any) -> None:
    """In REST's words, numbered by one, and never a note, its attachment or a checklist."""
    told = notify.ticket(external_ref="case-7")
    ticked, watched = [
        pb.intake.FieldChange(field=name) for name in ("checklist.verify", "watchers")
    ]
    events = [
        told.opened(),
        told.assigned("Ana"),
        told.message("secret", kind=pb.ticket.MESSAGE_KIND_NOTE),
        told.message("Try oil."),
        told.intake(pb.intake.AttachmentAdded, internal=True),
        told.intake(pb.intake.TicketEdited, changes=[ticked, watched]),
        told.moved("resolved", comment="Oiled."),
        told.moved("closed", reason="resolved"),
    ]
    await notify.hear(*events[:3])
    await notify.hear(*events[3:])
    rows = await notify.told(FEED)
    found = updates(rows)
    assert [each["what"] for each in found] == [
        "opened", "assigned", "message_posted", "status_changed", "status_changed",
    ]  # fmt: skip
    assert [row.sequence for row in rows] == [1, 2, 3, 4, 5]
    assert {row.source for row in rows} == {"/waybill/notify/feed"}
    assert {row.content_type for row in rows} == {"application/json"}
    assert {row.key for row in rows} == {str(told.id)}
    opened, assigned, message, resolved, closed = found
    assert opened["cause"] == {"id": "r1", "type": "POST /v1/tickets"}
    assert opened["actor"] == {"kind": "submitter", "name": "Kim"}
    assert opened["occurred_at"] == "2026-01-05T09:00:00Z"
    assert opened["ticket"] | {"version": 0} == {
        "id": str(told.id),
        "number": "WB-1042",
        "external_ref": "case-7",
        "product": "demo",
        "type": "technical",
        "priority": "high",
        "status": "pending",
        "title": "The door <b>squeaks</b>",
        "description": "It squeaks & squeaks",
        "channel": "api",
        "submitter": {"id": "s1", "email": "kim@example.org", "name": "Kim"},
        "occurrences": 1,
        "version": 0,
    }
    assert assigned["ticket"]["assignee"] == "Ana"
    assert message["message"]["body"] == "Try oil."
    assert message["ticket"]["assignee"] == "Ana"
    assert (resolved["previous_status"], resolved["comment"]) == ("pending", "Oiled.")
    assert closed["ticket"]["close_reason"] == "resolved"
    assert b"secret" not in b"".join(row.payload for row in rows)


async def test_an_outcome_is_told_to_the_submitter(notify: Any, pb: Any) -> None:
    """Once for each decision; other edits are told to nobody."""
    told = notify.ticket()
    events = [told.opened()]
    for field in ("outcome", "tags"):
        told.ticket.outcome = pb.ticket.OUTCOME_PLANNED
        edited = told.intake(pb.intake.TicketEdited, actor=told.agent())
        edited.message.changes.add(field=field)
        events.append(edited)
    await notify.hear(*events[:2])
    await notify.hear(*events[2:])
    rows = await notify.deliveries()
    assert [row.template for row in rows] == ["receipt", "outcome"]
    assert rows[1].facts["outcome"] == "planned"


async def test_an_edited_note_is_told_to_nobody_outside(notify: Any, pb: Any) -> None:
    """Neither by mail nor on the feed, though the ticket's version has risen."""
    told = notify.ticket()
    opened = told.opened()
    edited = told.intake(pb.intake.TicketEdited, actor=told.agent())
    edited.message.changes.add(field="notes")
    await notify.hear(opened, edited)
    assert [row.template for row in await notify.deliveries()] == ["receipt"]
    assert [each["what"] for each in updates(await notify.told(FEED))] == ["opened"]


async def test_an_assignment_heard_before_its_opening_is_told_after_it(notify: Any) -> None:
    """Topics are not ordered against each other; the feed is."""
    told = notify.ticket()
    await notify.hear(told.assigned("Ben"))
    assert await notify.told(FEED) == []
    await notify.hear(told.opened())
    found = updates(await notify.told(FEED))
    assert [each["what"] for each in found] == ["opened", "assigned"]
    assert found[1]["ticket"]["assignee"] == "Ben"


async def test_only_products_with_a_feed_get_one_and_asking_by_kafka_shows_it(
    notify: Any, pb: Any
) -> None:
    """A product nobody knows a topic of is not written to until it asks through its own."""
    await notify.hear(notify.ticket(product="shop").opened())
    assert await notify.told("waybill.feed.shop.v1") == []
    rejected = pb.intake.RequestRejected(
        product="shop",
        request_id="q1",
        reason="title is required",
        errors=[pb.intake.FieldError(field="title", message="is required")],
    )
    told = notify.ticket(product="shop")
    event = told.event(rejected, sequence=1)
    await notify.hear(event)
    await notify.hear(told.opened())
    await notify.hear(notify.ticket(product="wiki", channel=pb.enums.CHANNEL_EVENT).opened())
    await notify.hear(notify.ticket(product="No Topic!", channel=pb.enums.CHANNEL_EVENT).opened())
    first, second = await notify.told("waybill.feed.shop.v1")
    rejection = json.loads(first.payload)
    assert rejection["what"] == "request_rejected"
    assert "ticket" not in rejection
    assert rejection["rejection"] == {
        "request_id": "q1",
        "reason": "title is required",
        "errors": [{"field": "title", "message": "is required"}],
    }
    assert json.loads(second.payload)["what"] == "opened"
    assert len(await notify.told("waybill.feed.wiki.v1")) == 1
    assert len(await notify.rows("SELECT 1 FROM outbox WHERE topic LIKE '%No Topic%'")) == 0


async def test_a_late_event_tells_what_happened_and_never_turns_the_ticket_back(
    notify: Any,
) -> None:
    """A replayed dead letter: its reply goes out, the ticket stays as it stands now."""
    told = notify.ticket()
    opened = told.opened()
    late = told.message("Sorry for the wait.")
    await notify.hear(opened, told.moved("awaiting_user"))
    await notify.hear(late)
    [*_, update] = updates(await notify.told(FEED))
    assert update["what"] == "message_posted"
    assert update["ticket"]["status"] == "awaiting_user"
    assert [row.template for row in await notify.deliveries()] == ["receipt", "agent_reply"]


async def test_an_erased_person_is_forgotten(notify: Any, pb: Any) -> None:
    """Name, address and words are gone from pictures and ledger; what waits is not sent."""
    told = notify.ticket()
    await notify.hear(told.opened(), told.message("Dear Kim"))
    erased = pb.intake.PersonErased(
        submitter_id="s1", email="kim@example.org", ticket_ids=[str(told.id), "no-uuid"]
    )
    await notify.hear(told.event(erased, sequence=1))
    await notify.hear(told.event(erased, sequence=1))
    rows = await notify.deliveries()
    assert {(row.state, row.recipient, str(row.facts)) for row in rows} == {
        ("suppressed", "(erased)", "{}")
    }
    [picture] = await notify.rows("SELECT * FROM tickets")
    assert b"kim" not in picture.ticket.lower()
    assert b"squeaks" not in picture.ticket


async def test_who_wants_no_more_messages_gets_none(notify: Any, mint: Any) -> None:
    """Neither what waits nor what comes: it is in the ledger, suppressed, and stays unsent."""
    told, other = notify.ticket(), notify.ticket()
    early = told.message("Heard late")
    await notify.hear(told.opened(), other.opened())
    await notify.hear(told.unsubscribed(), told.message("Dear Kim"))
    await notify.hear(told.moved("resolved"), early, other.message("Dear Kim"))
    rows = await notify.deliveries()
    assert [row.state for row in rows if row.ticket_id == told.id] == ["suppressed"] * 4
    assert [row.state for row in rows if row.ticket_id == other.id] == ["pending"] * 2
    assert {str(row.facts) for row in rows if row.ticket_id == told.id} == {"{}"}
    agent = mint.headers("agent", products=("demo",))
    for row in rows[:1]:
        path = f"/v1/deliveries/{row.id}/retry"
        assert (await notify.service.client.post(path, headers=agent)).status_code == 409
    assert not await notify.told("waybill.notify.events.v1")


async def test_a_dead_delivery_is_not_revived_for_who_wants_none(
    notify: Any, sink: Any, mint: Any
) -> None:
    """Not even by hand."""
    sink.answers = ["550 no such person"]
    told = notify.ticket()
    await notify.hear(told.opened())
    async with notify.sending():
        [dead] = await notify.until_state("dead")
        await notify.hear(told.unsubscribed())
        answer = await notify.service.client.post(
            f"/v1/deliveries/{dead.id}/retry", headers=mint.headers("agent", products=("demo",))
        )
    assert answer.status_code == 409
    assert "no more messages" in answer.json()["detail"]


async def test_a_mail_that_left_before_its_recipient_unsubscribed_counts_as_delivered(
    notify: Any, sink: Any
) -> None:
    """The ledger tells what happened, not what was wanted."""
    told = notify.ticket()
    await notify.hear(told.opened())
    rt = notify.service.rt
    async with rt.database.unit_of_work() as uow:
        [claimed] = await store.claim(uow, new_id(), most=1, seconds=60)
    await notify.hear(told.unsubscribed())
    now = notify.clock.now()
    accepted = Result(claimed, Outcome(Verdict.ACCEPTED), now, now, NO_TRACE)
    async with rt.database.unit_of_work() as uow:
        await usecases.book(uow, [accepted], rt.settings.retry_policy)
    [row] = await notify.deliveries()
    assert (row.state, row.delivered_at) == ("delivered", now)


async def test_an_unknown_event_and_one_without_a_ticket_do_no_harm(notify: Any, pb: Any) -> None:
    """What is none of notify's business changes nothing."""
    told = notify.ticket()
    presence = pb.routing.AgentPresenceChanged()
    await notify.hear(told.event(presence, source="routing", sequence=1))
    assert await notify.rows("SELECT * FROM tickets") == []


async def test_the_ledger_is_shown_to_those_who_work_on_the_product(notify: Any, mint: Any) -> None:
    """Filters and pages; another product's is not found, another role is refused."""
    client = notify.service.client
    one, other = notify.ticket(), notify.ticket(product="shop")
    await notify.hear(one.opened(), one.message("a"), other.opened())
    agent = mint.headers("agent", products=("demo",))
    listed = (await client.get("/v1/deliveries", headers=agent)).json()["items"]
    assert [item["template"] for item in listed] == ["agent_reply", "receipt"]
    assert "text_body" not in listed[0]
    page = (await client.get("/v1/deliveries?limit=1", headers=agent)).json()
    rest = await client.get(f"/v1/deliveries?cursor={page['next_cursor']}", headers=agent)
    assert [item["template"] for item in rest.json()["items"]] == ["receipt"]
    mine = await client.get(f"/v1/deliveries?ticket_id={one.id}&state=dead", headers=agent)
    assert mine.json() == {"items": [], "next_cursor": None}
    [foreign] = await notify.rows("SELECT id FROM deliveries WHERE product = 'shop'")
    for answer in (
        await client.get(f"/v1/deliveries/{foreign.id}", headers=agent),
        await client.post(f"/v1/deliveries/{foreign.id}/retry", headers=agent),
        await client.post(f"/v1/deliveries/{new_id()}/retry", headers=agent),
    ):
        assert answer.status_code == 404
    assert (await client.get("/v1/deliveries?state=gone", headers=agent)).status_code == 422
    assert (await client.get("/v1/deliveries")).status_code == 401
    submitter = mint.headers("submitter", sub="kim@example.org")
    assert (await client.get("/v1/deliveries", headers=submitter)).status_code == 403
    templates = (await client.get("/v1/templates", headers=agent)).json()["items"]
    assert [item["name"] for item in templates] == [
        "receipt", "agent_reply", "resolved", "closed", "reminder", "outcome",
    ]  # fmt: skip
