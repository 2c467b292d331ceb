"""The wire itself: what stands on a topic becomes assignments, once."""

import asyncio
import time
from typing import Any

from aiokafka import AIOKafkaProducer
from waybill_chassis.consumer import Consumer
from waybill_chassis.events import headers
from waybill_routing.consumers import HEARD, handle


async def test_openings_on_the_topic_are_assigned_once_however_often_they_come(
    routing: Any, kafka: str, new_topic: Any
) -> None:
    """Each record is published twice, and between them one that nobody can read."""
    await routing.add_agent("ana")
    await routing.add_agent("ben")
    topic = await new_topic()
    events = [routing.opened(routing.ticket()) for _ in range(20)]
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await producer.start()
    last = routing.opened(routing.ticket())
    for event in [*events, *events, last]:
        sent = headers(
            id=event.id,
            source=event.source,
            type=event.type,
            subject=event.subject,
            time=event.time,
            sequence=event.sequence,
        )
        key, payload = event.subject.encode(), event.message.SerializeToString()
        await producer.send_and_wait(topic, payload, key=key, headers=sent)
        if event is events[-1]:
            lost = [(name, value) for name, value in sent if name != "ce_id"]
            lost.append(("ce_id", f"bad-{len(key)}".encode()))
            await producer.send_and_wait(topic, b"\xff", key=key, headers=lost)
    await producer.stop()
    consumer = Consumer(
        routing.database,
        bootstrap_servers=kafka,
        group=f"test.{topic}",
        handle=handle,
        types=HEARD,
        topics=(topic,),
    )
    await consumer.start()
    try:
        deadline = time.monotonic() + 60
        while sum((await routing.loads()).values()) < 21 and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
    finally:
        await consumer.stop()
    assert sorted((await routing.loads()).values()) == [10, 11]
    for event in events:
        (told,) = await routing.told(event.subject)
        assert told.cause.id == event.id
