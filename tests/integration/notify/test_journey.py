"""From the topic to the mail, and from the ledger to the feed, over a real broker."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from sqlalchemy import text
from waybill_chassis.consumer import Consumer
from waybill_chassis.database import UnitOfWork
from waybill_chassis.events import Event, headers
from waybill_chassis.relay import Relay
from waybill_notify.consumers import HEARD, handle


async def test_an_opening_on_the_topic_is_a_mail_and_a_line_on_the_feed(
    notify: Any, sink: Any, kafka: str, new_topic: Callable[..., Awaitable[str]]
) -> None:
    """Published twice, sent once; the feed can be read with nothing but JSON."""
    topic, feed = await new_topic(), await new_topic()
    database = notify.service.rt.database

    async def handling(uow: UnitOfWork, events: Sequence[Event[Any]]) -> None:
        await handle(uow, events, feed_products=frozenset({"demo"}), mail_domain="example.com")
        await uow.flush()
        # The shared broker's own feed is not this test's.
        await uow.execute(
            text("UPDATE outbox SET topic = :feed WHERE topic = 'waybill.feed.demo.v1'"),
            {"feed": feed},
        )

    told = notify.ticket()
    consumer = Consumer(
        database,
        bootstrap_servers=kafka,
        group=f"test-{uuid4().hex}",
        handle=handling,
        types=HEARD,
        topics=[topic],
    )
    relay = Relay(database, bootstrap_servers=kafka)
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    reader = AIOKafkaConsumer(feed, bootstrap_servers=kafka, auto_offset_reset="earliest")
    await producer.start()
    await reader.start()
    await consumer.start()
    try:
        opened = told.opened()
        for event in (opened, opened, told.assigned("Ben")):
            await producer.send_and_wait(
                topic,
                event.message.SerializeToString(),
                key=str(told.id).encode(),
                headers=headers(
                    id=event.id,
                    source=event.source,
                    type=event.type,
                    subject=event.subject,
                    time=event.time,
                    sequence=event.sequence,
                    trace=event.trace,
                ),
            )
        async with notify.sending():
            await notify.until_state("delivered")
        await relay.start()
        async with asyncio.timeout(30):
            records = [await reader.getone() for _ in range(2)]
        await relay.stop()
    finally:
        await consumer.stop()
        await reader.stop()
        await producer.stop()
    assert len(sink.mails) == 1
    updates = [json.loads(record.value) for record in records]
    assert [update["what"] for update in updates] == ["opened", "assigned"]
    assert updates[1]["ticket"]["assignee"] == "Ben"
    found = dict(records[0].headers)
    assert found["ce_type"] == b"waybill.notify.v1.TicketUpdate"
    assert found["ce_source"] == b"/waybill/notify/feed"
    assert found["content-type"] == b"application/json"
    assert [dict(record.headers)["ce_sequence"] for record in records] == [b"1", b"2"]
