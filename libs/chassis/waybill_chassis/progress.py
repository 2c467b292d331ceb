"""How far a group has read a topic: whether what stood there at a moment has been handled.

A timer asks this before it judges by what has happened. The answer is the broker's, so it counts
for all replicas of the group.
"""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from waybill_chassis.problems import Unavailable

ANSWER_SECONDS = 1.0
"""How long the broker may take to answer; a connection may take as long again."""

Mark = Mapping[int, int]
"""A place in a topic: by partition, the offset that its next record had at that moment."""

T = TypeVar("T")


class StreamProgress:
    """Watches one group on one topic, over one connection that is made when first needed."""

    def __init__(self, bootstrap_servers: str, topic: str, group: str) -> None:
        """Connects to nothing yet."""
        self.name = f"progress {group} {topic}"
        self._servers = bootstrap_servers
        self._topic = topic
        self._group = group
        self._connection: AIOKafkaConsumer | None = None
        self._handled: dict[int, int] = {}
        self._lock = asyncio.Lock()

    async def start(self) -> None:
        """Nothing to start: a part of the process for the sake of `stop`."""

    async def stop(self) -> None:
        """Close the connection."""
        async with self._lock:
            await self._close()

    async def mark(self) -> Mark:
        """Where the topic ends now. `Unavailable` if the broker does not answer."""
        return await self._ask(self._ends)

    async def reached(self, mark: Mark) -> bool:
        """Whether the group has handled all that stood before `mark`.

        `Unavailable` if the broker does not answer.
        """
        return await self._ask(lambda connection: self._passed(connection, mark))

    async def _ends(self, connection: AIOKafkaConsumer) -> Mark:
        # To ask for the first partition makes the client learn of the others.
        if not connection.partitions_for_topic(self._topic):
            await connection.end_offsets([self._at(0)])
        partitions = connection.partitions_for_topic(self._topic) or {0}
        ends = await connection.end_offsets([self._at(number) for number in sorted(partitions)])
        if any(end < self._handled.get(at.partition, 0) for at, end in ends.items()):
            # It is another topic of that name.
            self._handled.clear()
        return {at.partition: end for at, end in ends.items()}

    async def _passed(self, connection: AIOKafkaConsumer, mark: Mark) -> bool:
        # What was handled once stays so: only where there is news must the broker be asked.
        wanted = [self._at(number) for number, end in mark.items() if self._behind(number, end)]
        committed = await asyncio.gather(*(connection.committed(at) for at in wanted))
        known = dict(zip(wanted, committed, strict=True))
        # Nothing committed is right where there is nothing left to read.
        unread = [at for at, offset in known.items() if offset is None]
        known |= await connection.beginning_offsets(unread) if unread else {}
        self._handled |= {at.partition: offset for at, offset in known.items()}
        return not any(self._behind(number, end) for number, end in mark.items())

    def _behind(self, partition: int, end: int) -> bool:
        return self._handled.get(partition, 0) < end

    def _at(self, partition: int) -> TopicPartition:
        return TopicPartition(self._topic, partition)

    async def _ask(self, question: Callable[[AIOKafkaConsumer], Awaitable[T]]) -> T:
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                connection = await self._connected()
                return await question(connection)
        except (KafkaError, OSError, TimeoutError) as error:
            raise Unavailable(
                f"The broker does not say how far {self._group} has read {self._topic}:"
                f" {type(error).__name__}."
            ) from error

    async def _connected(self) -> AIOKafkaConsumer:
        async with self._lock:
            if self._connection is None:
                # Subscribes to nothing, so it never becomes a member of the group.
                self._connection = AIOKafkaConsumer(
                    bootstrap_servers=self._servers,
                    group_id=self._group,
                    client_id=f"{self._group}-progress",
                    enable_auto_commit=False,
                    request_timeout_ms=5000,
                )
                try:
                    await self._connection.start()
                except BaseException:
                    await self._close()
                    raise
            return self._connection

    async def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                await asyncio.wait_for(connection.stop(), ANSWER_SECONDS)


class Streams:
    """Several topics that one group reads, asked as if they were one."""

    def __init__(self, *streams: StreamProgress) -> None:
        """One for each topic."""
        self._streams = streams

    async def mark(self) -> Sequence[Mark]:
        """Where the topics end now. `Unavailable` if the broker does not answer."""
        return [await stream.mark() for stream in self._streams]

    async def reached(self, marks: Sequence[Mark]) -> bool:
        """Whether the group has handled all that stood before these marks.

        `Unavailable` if the broker does not answer.
        """
        for stream, mark in zip(self._streams, marks, strict=True):
            if not await stream.reached(mark):
                return False
        return True
