"""A product's record on a real broker becomes a ticket, or an answer why not."""

import asyncio
import json
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from waybill_chassis.consumer import Consumer
from waybill_chassis.events import requests_topic
from waybill_intake.consumers import requests
from waybill_intake.consumers.decoding import REQUESTS, decode


async def test_records_of_a_products_topic_are_taken_in(intake: Any, kafka: str) -> None:
    """Good and bad ones side by side; a repeated record is done once; nothing is put aside."""
    product = f"t{uuid4().hex}"
    topic = requests_topic(product)
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka)
    await admin.start()
    await admin.create_topics([NewTopic(topic, 1, 1)])
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await producer.start()
    consumer = Consumer(
        intake.tested.rt.database,
        bootstrap_servers=kafka,
        group=f"test-{product}",
        handle=requests.handle,
        types=REQUESTS,
        pattern=rf"^waybill\.requests\.{product}\.v1$",
        decode=decode,
    )
    body = json.dumps({"type": "order", "title": "Late", "description": "Where is it?"}).encode()

    async def publish(id: str, value: bytes) -> None:
        headers = [
            ("ce_specversion", b"1.0"),
            ("ce_id", id.encode()),
            ("ce_source", b"/shop"),
            ("ce_type", b"waybill.intake.v1.TicketRequested"),
            ("content-type", b"application/json"),
        ]
        await producer.send_and_wait(topic, value, key=b"k", headers=headers)

    try:
        for id, value in (("1", body), ("2", b"\xff"), ("1", body), ("3", body)):
            await publish(id, value)
        await consumer.start()
        async with asyncio.timeout(60):
            while len(await intake.told()) < 3:
                await asyncio.sleep(0.05)
        told = {(event.name, event.message.cause.id) for event in await intake.told()}
        assert told == {("TicketOpened", "1"), ("RequestRejected", "2"), ("TicketOpened", "3")}
        listed = await intake.ask("GET", f"/v1/tickets?product={product}")
        assert [ticket["channel"] for ticket in listed["items"]] == ["event", "event"]
    finally:
        await consumer.stop()
        await producer.stop()
        await admin.delete_topics([topic])
        await admin.close()
