"""The Kafka client below FastStream, where two of its habits do harm.

It cannot read a record with a header name that is not UTF-8, and then reads nothing more of any
partition; and FastStream sleeps after each poll that finds nothing.
"""

import contextlib
from typing import Any, TypeAlias

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.errors import KafkaError

Record: TypeAlias = ConsumerRecord[bytes, bytes]

WAIT_MILLISECONDS = 1000
"""How long a poll waits for records."""

_NOWHERE = TopicPartition("waybill.nowhere", 0)


class Unreadable(ConsumerRecord):  # type: ignore[misc]
    """Stands for a record that the client cannot read: its place is known, its content is not."""


class Client(AIOKafkaConsumer):  # type: ignore[misc]
    """A consumer that waits for records, and steps over what it cannot read."""

    async def getmany(
        self, *partitions: TopicPartition, timeout_ms: int = 0, max_records: int | None = None
    ) -> dict[TopicPartition, list[Record]]:
        """The next records, waiting longer than asked where there are none."""
        timeout_ms = timeout_ms if partitions else max(timeout_ms, WAIT_MILLISECONDS)
        try:
            return await self._poll(*partitions, timeout_ms=timeout_ms, max_records=max_records)
        except UnicodeDecodeError:
            return await self._step_over(max_records or 1)

    async def keep_alive(self) -> None:
        """Count as alive without taking a record: poll a partition that nobody has."""
        with contextlib.suppress(KafkaError):
            await self._poll(_NOWHERE, timeout_ms=0)

    async def _poll(
        self, *partitions: TopicPartition, **how: Any
    ) -> dict[TopicPartition, list[Record]]:
        polled: dict[TopicPartition, list[Record]] = await super().getmany(*partitions, **how)
        return polled

    async def _step_over(self, most: int) -> dict[TopicPartition, list[Record]]:
        """The records up to the unreadable one, one by one, and a stand-in for it."""
        for at in self.assignment():
            found: list[Record] = []
            while len(found) < most:
                try:
                    polled = await self._poll(at, timeout_ms=200, max_records=1)
                except UnicodeDecodeError:
                    offset = await self.position(at)
                    self.seek(at, offset + 1)
                    return {at: [*found, _unreadable(at, offset)]}
                if not polled:
                    break
                found += polled[at]
            if found:
                return {at: found}
        return {}


def _unreadable(at: TopicPartition, offset: int) -> Unreadable:
    return Unreadable(at.topic, at.partition, offset, -1, 0, None, None, None, -1, -1, ())
