"""How far a group has read several topics."""

from collections.abc import Awaitable, Callable
from typing import Any

from google.protobuf.wrappers_pb2 import StringValue
from waybill_chassis.progress import StreamProgress, Streams
from waybill_chassis.testing.producing import publish


async def test_several_topics_have_been_read_once_each_of_them_has(
    effects: Any, kafka: str, new_topic: Callable[..., Awaitable[str]]
) -> None:
    """A group that has read only one of them is behind."""
    first, second = await new_topic(), await new_topic()
    streams = [StreamProgress(kafka, topic, effects.group) for topic in (first, second)]
    both = Streams(*streams)
    assert await both.reached(await both.mark())
    for number, topic in enumerate((first, second)):
        word = StringValue(value=f"word {number}")
        await publish(kafka, topic, word, subject="s", source="/waybill/test", sequence=number + 1)
    marks = await both.mark()
    assert not await both.reached(marks)
    async with effects.consumer(topics=[first]):
        await effects.until(lambda: streams[0].reached(marks[0]))
    assert not await both.reached(marks)
    async with effects.consumer(topics=[second]):
        await effects.until(lambda: both.reached(marks))
    for stream in streams:
        await stream.stop()
