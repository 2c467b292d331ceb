"""Reads topics in batches: one batch, one transaction, the inbox in it."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from aiokafka import ConsumerRecord
from google.protobuf.message import Message

from waybill_chassis.database import Database, UnitOfWork
from waybill_chassis.events import Event, TraceContext

Handle = Callable[[UnitOfWork, Sequence[Event[Any]]], Awaitable[None]]
"""What a service does with a batch: new events only (the inbox has seen none of them), those of
one key in their order. It raises `InvalidEvent` for what can never be handled."""

Decode = Callable[[ConsumerRecord, TraceContext], Event[Any] | None]
"""A record as an event whose `trace` is the given span; None skips it. Raises `InvalidEvent`."""


class Consumer:
    """One group's reader of some topics, as a part of the process."""

    def __init__(
        self,
        database: Database,
        *,
        bootstrap_servers: str,
        group: str,
        handle: Handle,
        types: Iterable[type[Message]],
        topics: Sequence[str] = (),
        pattern: str | None = None,
        decode: Decode | None = None,
        max_batch: int = 500,
    ) -> None:
        """Connects only in `start`. `types` are the messages that `handle` knows; others are
        skipped and counted. Give either `topics` or a `pattern` of them.
        """
        self.name = f"consumer {group}"
        self.topics = topics
        self.pattern = pattern
        self.types = tuple(types)

    async def start(self) -> None:
        """Begin to read; a broker that is away is waited for in the background."""
        raise NotImplementedError

    async def stop(self) -> None:
        """Finish the batch in hand, hand the partitions over."""
        raise NotImplementedError

    async def wait(self) -> None:
        """Raise when it gave up, because too many messages fail."""
        raise NotImplementedError

    async def ping(self) -> None:
        """Raise if the broker does not answer."""
        raise NotImplementedError
