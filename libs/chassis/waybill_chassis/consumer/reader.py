"""The broker's side of a consumer: a FastStream batch subscriber, and when it acknowledges.

FastStream's own ways to acknowledge are not used: they commit whatever was fetched. Here the
offsets of a batch are committed by name, after its transaction.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import structlog
from aiokafka import ConsumerRebalanceListener, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError
from faststream import AckPolicy
from faststream.kafka import KafkaBroker, KafkaMessage

from waybill_chassis import metrics
from waybill_chassis.consumer.client import Client, Record
from waybill_chassis.consumer.turn import Turn, pause_of
from waybill_chassis.dead_letters import TooManyDeadLetters

Settle = Callable[[Sequence[Record], Turn], Awaitable[Sequence[Record]]]

METADATA_SECONDS = 5
"""How soon new topics of a pattern are seen."""

SESSION_SECONDS = 10
"""How soon the group notices that a member has died."""

REBALANCE_SECONDS = 30
"""How long the group waits for its members to hand over."""

POLL_SECONDS = 300
"""A batch that shows no sign of life for so long loses its partitions: its handler hangs."""

HANDOVER_SECONDS = 20.0
"""How long a member finishes its batch before it hands over, or stops."""

COMMIT_SECONDS = 5.0
"""How long an acknowledgement may take before it is left to the next one."""

PING_SECONDS = 2.0
WATCH_SECONDS = 5.0

log = structlog.get_logger(__name__)


class Reader:
    """Reads for one group and hands over batches, one at a time."""

    def __init__(
        self,
        bootstrap_servers: str,
        *,
        group: str,
        topics: Sequence[str],
        pattern: str | None,
        max_batch: int,
        settle: Settle,
    ) -> None:
        """`settle` deals with a batch and gives back what of it may be acknowledged."""
        self._servers = bootstrap_servers
        self._group = group
        self._topics = topics
        self._pattern = pattern
        self._max_batch = max_batch
        self._settle = settle
        self._state = ""
        self._stopping = asyncio.Event()
        self._trouble = asyncio.Event()
        self._ended = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._failure: TooManyDeadLetters | None = None
        self._subscriber: Any = None
        self._turn: Turn | None = None
        self._between = asyncio.Event()
        self._between.set()
        self._acknowledging: asyncio.Task[None] | None = None
        self._owed: dict[TopicPartition, int] = {}
        self._done: dict[TopicPartition, int] = {}

    async def start(self) -> None:
        """Begin to read in the background."""
        # The client logs every attempt of every request while a broker is away.
        logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
        self._task = asyncio.create_task(self._run(), name=f"consumer {self._group}")

    async def stop(self) -> None:
        """Finish the batch in hand, acknowledge it and leave the group."""
        self._stopping.set()
        if self._turn is not None:
            self._turn.end()
        if self._task is not None:
            await self._task
        self._ended.set()

    async def wait(self) -> None:
        """Return after `stop`; raise `TooManyDeadLetters` when it gave up."""
        await self._ended.wait()
        if self._failure is not None:
            raise self._failure

    async def ping(self) -> None:
        """Raise `ConnectionError` if the broker does not answer."""
        if self._consumer is None:
            raise ConnectionError("the broker has not been reached yet")
        try:
            async with asyncio.timeout(PING_SECONDS):
                await self._consumer.topics()
        except (KafkaError, TimeoutError) as error:
            raise ConnectionError(f"the broker does not answer: {error!r}") from None

    @property
    def _consumer(self) -> Client | None:
        return None if self._subscriber is None else self._subscriber.consumer

    async def _run(self) -> None:
        attempt = 0
        while not self._stopping.is_set():
            self._trouble.clear()
            broker = self._new_broker()
            watching = asyncio.create_task(self._watch())
            try:
                if await self._unless_stopped(_start(broker)):
                    attempt = 0
                    await self._unless_stopped(self._trouble.wait())
            except (KafkaError, OSError, TimeoutError) as error:
                self._say("broker away", error)
            finally:
                await _ended(watching)
                await self._close(broker)
            attempt += 1
            await self._unless_stopped(asyncio.sleep(pause_of(attempt)))

    def _new_broker(self) -> KafkaBroker:
        broker = KafkaBroker(
            self._servers,
            client_id=self._group,
            metadata_max_age_ms=METADATA_SECONDS * 1000,
            consumer_only=True,
            apply_types=False,
            logger=_Ear(self._hear),
            graceful_timeout=HANDOVER_SECONDS,
        )
        subscriber: Any = broker.subscriber(
            *self._topics,
            pattern=self._pattern,
            group_id=self._group,
            batch=True,
            max_records=self._max_batch,
            batch_timeout_ms=1,  # our client waits by itself
            auto_offset_reset="earliest",
            ack_policy=AckPolicy.MANUAL,
            parser=_parse,
            decoder=_decode,
            no_reply=True,
            session_timeout_ms=SESSION_SECONDS * 1000,
            max_poll_interval_ms=POLL_SECONDS * 1000,
            rebalance_timeout_ms=REBALANCE_SECONDS * 1000,
            listener=_Handover(self._revoked, self._assigned),
        )
        subscriber(self._on_batch)
        self._subscriber = subscriber
        return broker

    async def _close(self, broker: KafkaBroker) -> None:
        try:
            async with asyncio.timeout(HANDOVER_SECONDS + COMMIT_SECONDS):
                await self._acknowledged()
                await broker.stop()
        except Exception as error:  # noqa: BLE001 - it is over, however it ended
            log.warning("broker not left in order", group=self._group, error=repr(error))
        self._subscriber = None
        self._owed.clear()
        self._done.clear()

    async def _on_batch(self, records: Sequence[Record]) -> None:
        await self._take(records)
        if self._stopping.is_set():
            await self._acknowledged()
        if self._failure is not None:
            # The process is about to stop: read no further until it does.
            await self._stopping.wait()

    async def _take(self, records: Sequence[Record]) -> None:
        if self._failure is not None or self._stopping.is_set():
            return
        consumer = self._consumer
        assert consumer is not None
        self._turn = turn = Turn(consumer.keep_alive)
        self._between.clear()
        try:
            settled = await self._settle(records, turn)
            for record in settled:
                self._owed[TopicPartition(record.topic, record.partition)] = record.offset + 1
            self._start_acknowledging(consumer)
            if len(settled) < len(records) and not self._stopping.is_set():
                # What is left must be fetched again by whoever owns it after the rebalance.
                log.info("batch handed over", group=self._group, left=len(records) - len(settled))
        except TooManyDeadLetters as failure:
            self._give_up(failure)
        finally:
            self._turn = None
            self._between.set()

    def _give_up(self, failure: TooManyDeadLetters) -> None:
        log.error("consumer gives up", group=self._group, reason=str(failure))
        metrics.consumer_paused.set(1, {"group": self._group})
        self._failure = failure
        self._ended.set()

    def _start_acknowledging(self, consumer: Client) -> None:
        # While the broker writes the offsets of one batch, the next one is handled.
        if self._acknowledging is None or self._acknowledging.done():
            self._acknowledging = asyncio.create_task(self._acknowledge(consumer))

    async def _acknowledged(self) -> None:
        """Wait until nothing is owed, or the broker does not take it."""
        if self._acknowledging is not None:
            await asyncio.wait({self._acknowledging})

    async def _acknowledge(self, consumer: Client) -> None:
        while self._owed and await self._commit(consumer, dict(self._owed)):
            pass

    async def _commit(self, consumer: Client, owed: dict[TopicPartition, int]) -> bool:
        """Commit what is owed; what the broker does not take in time is owed on."""
        try:
            async with asyncio.timeout(COMMIT_SECONDS):
                await consumer.commit(owed)
        except (CommitFailedError, IllegalStateError):
            # The group has moved on: the new owner reads it again, and its inbox knows it.
            self._owed.clear()
            return False
        except Exception as error:  # noqa: BLE001 - whatever it is, it is tried again
            self._say("not acknowledged", error)
            return False
        self._done.update(owed)
        self._owed = {at: next for at, next in self._owed.items() if owed.get(at) != next}
        return True

    async def _revoked(self) -> None:
        """Before the partitions go elsewhere: let the batch in hand end."""
        if self._turn is not None:
            self._turn.end()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._between.wait(), HANDOVER_SECONDS)
        await self._acknowledged()
        self._owed.clear()
        self._done.clear()

    async def _assigned(self, partitions: set[TopicPartition]) -> None:
        places: dict[str, list[int]] = {}
        for at in sorted(partitions):
            places.setdefault(at.topic, []).append(at.partition)
        log.info("partitions assigned", group=self._group, partitions=places)

    async def _watch(self) -> None:
        """Tell whether the broker answers, and how much waits."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            consumer = self._consumer
            if consumer is None:
                continue
            try:
                await self.ping()
            except ConnectionError as error:
                self._say("broker away", error)
                continue
            self._say("reading")
            if self._failure is None:
                self._start_acknowledging(consumer)
            with contextlib.suppress(KafkaError, TimeoutError):
                await self._measure_lag(consumer)

    async def _measure_lag(self, consumer: Client) -> None:
        assigned = consumer.assignment()
        if not assigned:
            return
        async with asyncio.timeout(WATCH_SECONDS):
            ends = await consumer.end_offsets(assigned)
            new = list(assigned - self._done.keys())
            committed = await asyncio.gather(*(consumer.committed(at) for at in new))
            known = dict(zip(new, committed, strict=True))
            unread = [at for at, offset in known.items() if offset is None]
            if unread:
                known |= await consumer.beginning_offsets(unread)
            self._done = known | self._done
        lag: dict[str, int] = {}
        for at, end in ends.items():
            lag[at.topic] = lag.get(at.topic, 0) + max(0, end - self._done.get(at, end))
        for topic, messages in lag.items():
            metrics.consumer_lag.set(messages, {"topic": topic})

    def _hear(self, error: BaseException) -> None:
        """FastStream met an error outside of our own code: connect anew."""
        self._say("reading failed", error)
        self._trouble.set()

    def _say(self, state: str, error: BaseException | None = None) -> None:
        """One line for each change."""
        if state == self._state:
            return
        self._state = state
        if error is None:
            log.info(state, group=self._group)
        else:
            reason = f"{type(error).__name__}: {error}"[:300]
            log.warning(state, group=self._group, error=reason)

    async def _unless_stopped(self, work: Any) -> bool:
        """Wait for `work`; False, and it is broken off, when the process stops before."""
        task = asyncio.ensure_future(work)
        stop = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                task.result()
                return True
            return False
        finally:
            await _ended(stop)
            await _ended(task)


class _Handover(ConsumerRebalanceListener):  # type: ignore[misc]
    def __init__(
        self,
        revoked: Callable[[], Awaitable[None]],
        assigned: Callable[[set[TopicPartition]], Awaitable[None]],
    ) -> None:
        self._revoked = revoked
        self._assigned = assigned

    async def on_partitions_revoked(self, revoked: set[TopicPartition]) -> None:
        if revoked:
            await self._revoked()

    async def on_partitions_assigned(self, assigned: set[TopicPartition]) -> None:
        await self._assigned(assigned)


class _Ear:
    """Stands where FastStream logs: its errors are news for us, the rest is noise."""

    def __init__(self, hear: Callable[[BaseException], None]) -> None:
        self._hear = hear

    def log(self, level: int, _msg: Any, /, *, exc_info: Any = None, **_extra: Any) -> None:
        if level >= logging.ERROR and isinstance(exc_info, Exception):
            self._hear(exc_info)


async def _start(broker: KafkaBroker) -> None:
    await broker.connect()
    made = broker.config.broker_config
    made.builder = partial(Client, **made.builder.keywords)  # type: ignore[attr-defined]
    await broker.start()


async def _parse(records: tuple[Record, ...]) -> KafkaMessage:
    # Never fails: what the bytes mean is found out record by record.
    return KafkaMessage(
        raw_message=records, body=b"", correlation_id="-", message_id="-", consumer=_NO_CONSUMER
    )


async def _decode(message: KafkaMessage) -> Any:
    return message.raw_message


class _NoConsumer:
    async def commit(self) -> None:
        """Nothing: offsets are committed by name."""

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Nothing."""


_NO_CONSUMER = _NoConsumer()


async def _ended(task: "asyncio.Future[Any]") -> None:
    """Break the task off, if it still runs."""
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.exception()
