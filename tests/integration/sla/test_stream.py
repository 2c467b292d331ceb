"""On a real broker: events come in through the consumer, and timers wait for it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any
from uuid import uuid4

from aiokafka import AIOKafkaProducer
from waybill_chassis.consumer import Consumer
from waybill_chassis.database import UnitOfWork
from waybill_chassis.events import Event, headers
from waybill_chassis.progress import StreamProgress
from waybill_sla import consumers
from waybill_sla.timers import Timers


async def handle(uow: UnitOfWork, batch: Sequence[Event[Any]]) -> None:
    await consumers.handle(uow, batch)


async def test_an_answer_that_stands_in_the_stream_at_the_deadline_is_heard_first(
    sla: Any, kafka: str, new_topic: Callable[..., Awaitable[str]]
) -> None:
    """The consumer is behind when the timer comes due: the timer waits, and there is no breach."""
    topic, group = await new_topic(), f"test-{uuid4().hex}"
    producer = AIOKafkaProducer(bootstrap_servers=kafka)
    await producer.start()

    async def publish(event: Event[Any]) -> None:
        await producer.send_and_wait(
            topic,
            value=event.message.SerializeToString(),
            key=event.subject.encode(),
            headers=headers(
                id=event.id,
                source=event.source,
                type=event.type,
                subject=event.subject,
                time=event.time,
                sequence=event.sequence,
            ),
        )

    def consumer() -> Consumer:
        return Consumer(
            sla.database,
            bootstrap_servers=kafka,
            group=group,
            handle=handle,
            types=consumers.HEARD,
            topics=(topic,),
        )

    story, start = sla.ticket("urgent"), sla.clock.now()
    progress = StreamProgress(kafka, topic, group)
    first, second = consumer(), consumer()
    try:
        await publish(story.opened())
        await first.start()
        async with asyncio.timeout(60):
            while await sla.names(story) != ["ClockStarted"]:
                await asyncio.sleep(0.05)
        await first.stop()
        await publish(story.replied(start + timedelta(minutes=14)))
        await sla.hear(story.assigned(start))
        sla.clock.advance(timedelta(minutes=15))
        timers = Timers(sla.database, progress=progress, wait_seconds=60)
        turn = asyncio.create_task(timers.turn())
        await second.start()
        await turn
    finally:
        await second.stop()
        await progress.stop()
        await producer.stop()
    names = await sla.names(story)
    assert "TargetMet" in names
    assert "TargetBreached" not in names
