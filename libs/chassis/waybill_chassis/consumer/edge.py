"""The consumer as a part of the process."""

from collections.abc import Iterable, Sequence

from google.protobuf.message import Message

from waybill_chassis.consumer.decoding import Decode, Decoder
from waybill_chassis.consumer.reader import Reader
from waybill_chassis.consumer.work import Handle, Work
from waybill_chassis.database import Database


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
        """Connects only in `start`. Give either `topics` or a `pattern` of them.

        `types` are the messages that `handle` knows; others are skipped and counted. A topic is
        read by one group of a service only, for its groups share the inbox.
        """
        if bool(topics) == bool(pattern):
            raise ValueError(f"consumer {group}: give either topics or a pattern of them")
        self.name = f"consumer {group}"
        self.group = group
        self.topics = topics
        self.pattern = pattern
        self.types = tuple(types)
        work = Work(
            database, group=group, handle=handle, decoder=Decoder(group, self.types, decode)
        )
        self._reader = Reader(
            bootstrap_servers,
            group=group,
            topics=topics,
            pattern=pattern,
            max_batch=max_batch,
            settle=work.settle,
        )

    async def start(self) -> None:
        """Begin to read; a broker that is away is waited for in the background."""
        await self._reader.start()

    async def stop(self) -> None:
        """Finish the batch in hand, hand the partitions over."""
        await self._reader.stop()

    async def wait(self) -> None:
        """Raise when it gave up, because too many messages fail."""
        await self._reader.wait()

    async def ping(self) -> None:
        """Raise if the broker does not answer."""
        await self._reader.ping()
