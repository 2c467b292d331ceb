"""What leaves the house: once each, the same mail however often it is tried."""

import asyncio
from datetime import timedelta
from typing import Any

from waybill.notify.v1.delivery_pb2 import KNOWLEDGE_ANSWER_FOUND, KNOWLEDGE_ANSWER_NONE
from waybill.notify.v1.events_pb2 import NotificationDelivered, NotificationFailed
from waybill_notify.letters import NO_ANSWER, Answer, Links


async def test_a_receipt_goes_out_and_its_delivery_is_told(notify: Any, sink: Any) -> None:
    """Opening a ticket writes to its submitter; the ledger and the topic say so."""
    notify.asked.links = Links(confirm="http://gw/r/abc", unsubscribe="http://gw/r/bye")
    notify.asked.answer = Answer("Oil the hinges", "Use <oil>.")
    told = notify.ticket()
    opened = told.opened()
    await notify.hear(opened)
    async with notify.sending():
        [delivery] = await notify.until_state("delivered")
    [mail] = sink.mails
    assert mail["Subject"] == "[WB-1042] We have your request: The door <b>squeaks</b>"
    assert mail["To"] == "kim@example.org"
    assert mail["Message-ID"] == delivery.message_id
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["List-Unsubscribe"] == "<http://gw/r/bye>"
    assert mail["References"] == f"<ticket.{told.id}@example.com>"
    plain = mail.get_body(("plain",)).get_content()
    assert "Oil the hinges" in plain
    assert "http://gw/r/abc" in plain
    html = mail.get_body(("html",)).get_content()
    assert "The door &lt;b&gt;squeaks&lt;/b&gt;" in html
    assert "Use &lt;oil&gt;." in html
    # What let its holder act is not kept.
    assert (delivery.text_body, delivery.html_body, delivery.facts) == (None, None, {})
    [row] = await notify.told("waybill.notify.events.v1")
    event = NotificationDelivered.FromString(row.payload)
    assert event.delivery.knowledge_answer == KNOWLEDGE_ANSWER_FOUND
    assert event.delivery.message_id == delivery.message_id
    assert event.delivery.attempts == 1
    assert event.cause.id == opened.id
    assert (row.aggregateid, row.sequence) == (str(told.id), 1)
    assert row.traceparent.split("-")[1] == opened.trace.traceparent.split("-")[1]


async def test_a_receipt_without_an_answer_is_told_as_such(notify: Any, sink: Any) -> None:
    """The knowledge base was asked and had nothing; the mail does not speak of it."""
    notify.asked.answer = NO_ANSWER
    await notify.hear(notify.ticket().opened())
    async with notify.sending():
        await notify.until_state("delivered")
    [row] = await notify.told("waybill.notify.events.v1")
    event = NotificationDelivered.FromString(row.payload)
    assert event.delivery.knowledge_answer == KNOWLEDGE_ANSWER_NONE
    [mail] = sink.mails
    assert "answer" not in mail.get_body(("plain",)).get_content().lower()


async def test_every_delivery_goes_out_once_with_several_senders(notify: Any, sink: Any) -> None:
    """Two replicas share the ledger: a hundred receipts, a hundred mails."""
    await notify.hear(*[notify.ticket().opened() for _ in range(100)])
    async with notify.sending(), notify.sending(batch=7):
        await notify.until_state("delivered", 100)
    assert len(sink.mails) == 100
    assert len({mail["Message-ID"] for mail in sink.mails}) == 100
    assert sink.connections <= 20


async def test_a_server_that_is_away_costs_no_attempt(notify: Any, sink: Any) -> None:
    """Deliveries wait, say why, and go out when the server is back."""
    await sink.stop()
    await notify.hear(notify.ticket().opened())
    async with notify.sending():

        async def waits() -> bool:
            [row] = await notify.deliveries()
            return "is away" in row.last_error and row.attempts == 0

        await notify.until(waits)
        await sink.start()
        notify.clock.advance(timedelta(minutes=1))
        [delivery] = await notify.until_state("delivered")
    assert delivery.attempts == 1
    assert len(sink.mails) == 1


async def test_patience_with_a_server_that_stays_away_ends(notify: Any, sink: Any) -> None:
    """Nothing waits for ever: after days it is dead, with the reason."""
    await sink.stop()
    await notify.hear(notify.ticket().opened())
    notify.clock.advance(timedelta(days=4))
    async with notify.sending():
        [delivery] = await notify.until_state("dead")
    assert "is away" in delivery.last_error
    [row] = await notify.told("waybill.notify.events.v1")
    assert row.type == "waybill.notify.v1.NotificationFailed"
    await sink.start()


async def test_a_mail_refused_for_now_is_tried_again_as_it_was(notify: Any, sink: Any) -> None:
    """A 4xx waits for its time, then the very same bytes go out under the same Message-ID."""
    sink.answers = ["451 come back"]
    notify.asked.links = Links(confirm="http://gw/r/first")
    await notify.hear(notify.ticket().opened())
    async with notify.sending():

        async def refused() -> Any:
            [row] = await notify.deliveries()
            return row if row.last_error else None

        row = await notify.until(refused)
        assert row.state == "pending"
        assert row.last_error == "451 come back"
        assert row.next_attempt_at == notify.clock.now() + timedelta(seconds=30)
        notify.asked.links = Links(confirm="http://gw/r/second")
        notify.clock.advance(timedelta(seconds=31))
        [delivery] = await notify.until_state("delivered")
    assert delivery.attempts == 2
    assert notify.asked.count == 1
    assert "http://gw/r/first" in sink.mails[0].get_body(("plain",)).get_content()


async def test_a_server_that_dies_after_taking_a_mail_gets_it_again_unchanged(
    notify: Any, sink: Any
) -> None:
    """Nobody said yes, so it is repeated: byte for byte, under the same Message-ID."""
    sink.answers = ["drop"]
    await notify.hear(notify.ticket().opened())
    async with notify.sending():
        await notify.until(lambda: notify.rows("SELECT 1 FROM attempts"))
        notify.clock.advance(timedelta(minutes=1))
        await notify.until_state("delivered")
    first, second = sink.raw
    assert first == second


async def test_a_crash_between_acceptance_and_commit_repeats_the_same_mail(
    notify: Any, sink: Any
) -> None:
    """The claim of a process that is gone runs out; another one sends the same again."""
    await notify.hear(notify.ticket().opened())
    crashing = notify.sender(lease_seconds=6.5)
    begun = asyncio.Event()
    results = crashing._results

    def lose(_: Any) -> None:
        begun.set()

    results.put_nowait = lose  # the process dies before it can book
    await crashing.start()
    await begun.wait()
    await crashing.stop()
    assert len(sink.mails) == 1
    async with notify.sending():
        [delivery] = await notify.until_state("delivered")
    first, second = sink.raw
    assert first == second
    assert delivery.attempts == 2


async def test_a_mail_refused_for_good_is_dead_and_can_be_tried_again(
    notify: Any, sink: Any, mint: Any
) -> None:
    """A 5xx ends a delivery with its reason; an agent revives it, once."""
    sink.answers = ["550 no such person"]
    told = notify.ticket()
    await notify.hear(told.opened())
    agent = mint.headers("agent", products=("demo",))
    async with notify.sending():
        [dead] = await notify.until_state("dead")
        assert dead.last_error == "550 no such person"
        [row] = await notify.told("waybill.notify.events.v1")
        assert NotificationFailed.FromString(row.payload).reason == "550 no such person"
        client = notify.service.client
        answer = await client.post(f"/v1/deliveries/{dead.id}/retry", headers=agent)
        assert answer.status_code == 200
        assert answer.json()["state"] == "pending"
        await notify.until_state("delivered")
        again = await client.post(f"/v1/deliveries/{dead.id}/retry", headers=agent)
        assert again.status_code == 409
        assert again.json()["state"] == "delivered"
    detail = (await client.get(f"/v1/deliveries/{dead.id}", headers=agent)).json()
    assert [a["outcome"] for a in detail["attempt_log"]] == ["permanent", "accepted"]


async def test_a_server_that_babbles_holds_up_nobody(notify: Any, sink: Any) -> None:
    """Whatever bytes it answers with, the delivery ends and its reason can be read."""
    sink.answers = ["550 no\x00pe \N{LATIN SMALL LETTER E WITH ACUTE}"]
    await notify.hear(notify.ticket().opened())
    async with notify.sending():
        [dead] = await notify.until_state("dead")
    assert dead.last_error.startswith("550 no?pe")


async def test_after_all_its_attempts_a_delivery_is_dead(notify: Any, sink: Any) -> None:
    """A server that never says yes is believed in the end."""
    sink.answers = ["451 later"] * 3
    await notify.hear(notify.ticket().opened())
    async with notify.sending(attempts=3) as sender:
        for number in range(1, 4):

            async def tried(number: int = number) -> bool:
                return len(await notify.rows("SELECT 1 FROM attempts")) == number

            await notify.until(tried)
            notify.clock.advance(timedelta(hours=3))
            sender.wake()
        [dead] = await notify.until_state("dead")
    assert dead.attempts == 3


async def test_what_a_stop_finds_unsent_is_given_back(notify: Any, sink: Any) -> None:
    """A stop finishes what was begun; the rest is due at once, with no attempt counted."""
    await notify.hear(*[notify.ticket().opened() for _ in range(20)])
    reached = asyncio.Event()

    async def hook() -> None:
        reached.set()
        await asyncio.sleep(0.05)

    notify.asked.hook = hook
    sender = notify.sender()
    await sender.start()
    await reached.wait()
    await sender.stop()
    rows = await notify.deliveries()
    waiting = [row for row in rows if row.state == "pending"]
    assert len(waiting) + len(sink.mails) == 20
    assert all(row.attempts == 0 and row.claim is None for row in waiting)
    notify.asked.hook = None
    async with notify.sending():
        await notify.until_state("delivered", 20)
    assert len(sink.mails) == 20


async def test_a_recipient_that_is_no_address_reaches_no_server(notify: Any, sink: Any) -> None:
    """Nothing can be smuggled into the headers or the envelope."""
    told = notify.ticket()
    told.ticket.submitter.email = "kim@example.org\r\nBcc: all@example.org"
    told.ticket.title = "Hello\r\nBcc: all@example.org"
    other = notify.ticket(title=told.ticket.title)
    await notify.hear(told.opened(), other.opened())
    async with notify.sending():
        await notify.until_state("dead")
        await notify.until_state("delivered")
    [mail] = sink.mails
    assert mail["Bcc"] is None
    assert mail["Subject"] == "[WB-1042] We have your request: Hello Bcc: all@example.org"


async def test_the_mails_of_a_ticket_keep_their_order(notify: Any, sink: Any) -> None:
    """What was asked for first arrives first, however many connections there are."""
    told = notify.ticket()
    await notify.hear(told.opened(), *[told.message(f"answer {n}") for n in range(5)])
    async with notify.sending():
        await notify.until_state("delivered", 6)
    bodies = [mail.get_body(("plain",)).get_content().splitlines()[0] for mail in sink.mails]
    assert bodies[1:] == [f"answer {n}" for n in range(5)]


async def test_a_mail_waits_while_an_earlier_one_about_its_ticket_is_on_its_way(
    notify: Any, sink: Any
) -> None:
    """A slow receipt is not overtaken by the reply; another ticket's mail is not held up."""
    told, other = notify.ticket(), notify.ticket()
    held, reached = asyncio.Event(), asyncio.Event()

    async def hook() -> None:
        reached.set()
        await held.wait()

    notify.asked.hook = hook
    await notify.hear(told.opened())
    async with notify.sending():
        await reached.wait()
        notify.asked.hook = None
        await notify.hear(told.message("answer"), other.opened())
        await notify.until_state("delivered")
        assert [mail["References"] for mail in sink.mails] == [f"<ticket.{other.id}@example.com>"]
        held.set()
        await notify.until_state("delivered", 3)
    subjects = [mail["Subject"] for mail in sink.mails[1:]]
    assert ["We have your request" in subject for subject in subjects] == [True, False]
