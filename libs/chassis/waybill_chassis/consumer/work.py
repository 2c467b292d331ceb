"""What is done with a batch: one unit of work; if that fails, message by message.

An error that means that something is away holds the batch back until it is there again; nothing
is skipped. Any other error sends the batch through message by message, and what fails alone goes
to the dead letters.
"""

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

import structlog

from waybill_chassis import dead_letters, inbox, metrics
from waybill_chassis.consumer.client import Record
from waybill_chassis.consumer.decoding import Decoder, Received
from waybill_chassis.consumer.turn import Turn, pause_of
from waybill_chassis.database import Database, UnitOfWork
from waybill_chassis.dead_letters import Share, TooManyDeadLetters
from waybill_chassis.events import Event, InvalidEvent
from waybill_chassis.failures import bad_input, is_transient
from waybill_chassis.telemetry import within

Handle = Callable[[UnitOfWork, Sequence[Event[Any]]], Awaitable[None]]
"""What a service does with a batch: new events only (the inbox has seen none of them), those of
one key in their order. It raises `InvalidEvent` for what can never be handled."""

ATTEMPTS = 3
"""How often a message that fails alone is tried before it goes to the dead letters."""

DELAYS = 20
"""Of so many messages in each batch the delay is measured: the measuring has its price too."""

log = structlog.get_logger(__name__)


class Work:
    """Settles batches for one group: each message is handled, dropped, or put aside."""

    def __init__(self, database: Database, *, group: str, handle: Handle, decoder: Decoder) -> None:
        """`handle` is called within a unit of work of `database`."""
        self._database = database
        self._group = group
        self._labels = {"group": group}
        self._handle = handle
        self._decoder = decoder
        self._share = Share()
        self._skipped_types: set[str] = set()

    async def settle(self, records: Sequence[Record], turn: Turn) -> Sequence[Record]:
        """Deal with the records; those at the head of them that are settled, all if it could.

        Raises `TooManyDeadLetters`; then none of them may be acknowledged.
        """
        began = time.perf_counter()
        received = self._decode(records)
        sound = [message for message in received if message.event is not None]
        together = not sound or await self._together(sound, turn)
        if together:
            self._share.handled(len(sound))
        rest = [message for message in received if not together or message.event is None]
        for message in rest:
            if turn.over or not await self._alone(message, turn):
                return [] if together else records[: records.index(message.record)]
        metrics.consumer_seconds.record(time.perf_counter() - began, self._labels)
        return records

    def _decode(self, records: Sequence[Record]) -> list[Received]:
        received, skipped = [], Counter[tuple[str, str]]()
        for record in records:
            if message := self._decoder(record):
                received.append(message)
            else:
                skipped[record.topic, self._skipped_type(record)] += 1
        for (topic, kind), count in skipped.items():
            metrics.consumer_skipped.add(count, {"topic": topic, "type": kind})
        return received

    def _skipped_type(self, record: Record) -> str:
        # Anybody may invent types: a label has only so many values.
        kind = dead_letters.readable(dict(record.headers).get("ce_type"))
        if len(self._skipped_types) < 50:
            self._skipped_types.add(kind)
        return kind if kind in self._skipped_types else "other"

    async def _together(self, messages: Sequence[Received], turn: Turn) -> bool:
        """True if all are handled by one transaction; False if each must be tried alone."""
        attempt = 0
        with self._held() as hold:
            while not turn.over:
                attempt += 1
                try:
                    await self._transaction(messages)
                except Exception as error:  # noqa: BLE001 - whatever it is, it is sorted out here
                    metrics.consumer_retries.add(1, self._labels)
                    if not is_transient(error):
                        log.warning(
                            "batch goes message by message",
                            group=self._group,
                            messages=len(messages),
                            error=described(error),
                        )
                        return False
                    hold(error)
                    await turn.pause(pause_of(attempt))
                else:
                    return True
        return False

    async def _alone(self, message: Received, turn: Turn) -> bool:
        """Handle one message or put it aside; False if the turn ended before."""
        attempt = failures = 0
        with self._held() as hold:
            while message.error is None:
                if turn.over:
                    return False
                attempt += 1
                try:
                    await self._transaction([message])
                except Exception as error:  # noqa: BLE001 - whatever it is, it is sorted out here
                    if is_transient(error):
                        hold(error)
                    else:
                        failures += 1
                        if reason := bad_input(error):
                            error = InvalidEvent(reason)
                        if isinstance(error, InvalidEvent) or failures >= ATTEMPTS:
                            message.error = error
                            break
                    metrics.consumer_retries.add(1, self._labels)
                    await turn.pause(pause_of(attempt))
                else:
                    self._share.handled(1)
                    return True
        return await self._put_aside(message, message.error, failures, turn)

    async def _put_aside(
        self, message: Received, error: Exception, failures: int, turn: Turn
    ) -> bool:
        record = message.record
        letter = dead_letters.letter(
            record,
            service=self._database.service,
            group=self._group,
            error=error,
            attempts=max(failures, 1),
        )
        try:
            self._share.put_aside()
        except TooManyDeadLetters as too_many:
            place = f"{record.topic}/{record.partition}/{record.offset}"
            raise TooManyDeadLetters(
                f"consumer {self._group} stops: {too_many}, the last one {place}"
                f" because of {described(error)}. Nothing more is put aside or acknowledged:"
                " find out what is wrong, then start it again"
            ) from error
        attempt = 0
        with self._held() as hold:
            while not turn.over:
                attempt += 1
                try:
                    async with self._database.unit_of_work() as uow:
                        dead_letters.put_aside(uow, letter, message.span.trace)
                except Exception as failure:  # noqa: BLE001 - a message is never dropped
                    hold(failure)
                    await turn.pause(pause_of(attempt))
                else:
                    log.error(
                        "message put aside",
                        group=self._group,
                        topic=record.topic,
                        partition=record.partition,
                        offset=record.offset,
                        type=letter.event_type,
                        subject=letter.event_subject,
                        error=described(error),
                    )
                    metrics.consumer_dead_letters.add(1, {"topic": record.topic})
                    message.span.end(error)
                    return True
        return False

    async def _transaction(self, messages: Sequence[Received]) -> None:
        events = [message.event for message in messages if message.event is not None]
        one = within(events[0].trace) if len(events) == 1 else nullcontext()
        with one:
            async with self._database.unit_of_work() as uow:
                fresh = await inbox.admit(uow, events)
                if fresh:
                    await self._handle(uow, fresh)
        self._count(messages, events, fresh)

    def _count(
        self,
        messages: Sequence[Received],
        events: Sequence[Event[Any]],
        fresh: Sequence[Event[Any]],
    ) -> None:
        now = self._database.clock.now()
        for (topic, kind), count in Counter((e.topic, e.type) for e in fresh).items():
            metrics.consumer_handled.add(count, {"topic": topic, "type": kind})
        if len(fresh) < len(events):
            repeated = Counter(e.topic for e in events)
            repeated.subtract(Counter(e.topic for e in fresh))
            for topic, count in repeated.items():
                metrics.consumer_duplicates.add(count, {"topic": topic})
        for event in fresh[:: len(fresh) // DELAYS + 1]:
            delay = (now - event.time).total_seconds()
            metrics.consumer_delay.record(max(delay, 0.0), {"topic": event.topic})
        metrics.consumer_batch.record(len(events), self._labels)
        for message in messages:
            message.span.end()

    @contextmanager
    def _held(self) -> Iterator[Callable[[Exception], None]]:
        """Gives what to call when the batch is held back; says once that it is, and that it was."""
        since: float | None = None

        def hold(error: Exception) -> None:
            nonlocal since
            if since is None:
                since = time.monotonic()
                metrics.consumer_paused.set(1, self._labels)
                log.warning("consumption held", group=self._group, error=described(error))

        try:
            yield hold
        finally:
            if since is not None:
                metrics.consumer_paused.set(0, self._labels)
                seconds = round(time.monotonic() - since, 1)
                log.info("consumption goes on", group=self._group, held_seconds=seconds)


def described(error: BaseException) -> str:
    """An error in one line of a log."""
    return f"{type(error).__name__}: {error}"[:500]
