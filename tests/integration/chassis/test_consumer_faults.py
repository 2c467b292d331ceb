"""What the consumer promises when processes die, dependencies go away and groups change."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from google.protobuf.wrappers_pb2 import StringValue
from sqlalchemy.engine import make_url
from waybill_chassis.clock import SystemClock
from waybill_chassis.consumer import reader, turn
from waybill_chassis.database import Database, UnitOfWork
from waybill_chassis.events import Event
from waybill_chassis.problems import Unavailable
from waybill_chassis.progress import StreamProgress
from waybill_chassis.testing.producing import event_of, producing, publish

MakeTopic = Callable[..., Awaitable[str]]

CONSUMER_THAT_DIES = """
import asyncio, os, signal, sys
from aiokafka import AIOKafkaConsumer
from google.protobuf.wrappers_pb2 import StringValue
from sqlalchemy import text
from waybill_chassis.clock import SystemClock
from waybill_chassis.consumer import Consumer
from waybill_chassis.database import Database

async def main(url, kafka, topic, group, moment):
    def die(here):
        if moment == here:
            os.kill(os.getpid(), signal.SIGKILL)

    async def handle(uow, events):
        await uow.execute(
            text("INSERT INTO effect (word) SELECT unnest(CAST(:words AS text[]))"),
            {"words": [event.message.value for event in events]},
        )
        die("before commit")

    commit = AIOKafkaConsumer.commit

    async def acknowledge(self, offsets=None):
        die("before acknowledgement")
        await commit(self, offsets)
        die("after acknowledgement")

    AIOKafkaConsumer.commit = acknowledge
    consumer = Consumer(
        Database(url, service="intake", clock=SystemClock()),
        bootstrap_servers=kafka, group=group, handle=handle, types=[StringValue], topics=[topic],
    )
    await consumer.start()
    await consumer.wait()

asyncio.run(main(*sys.argv[1:]))
"""


async def tell(kafka: str, topic: str, *words: str, **attributes: Any) -> None:
    """Publish the words, each under a key of its own."""
    for word in words:
        await publish(
            kafka,
            topic,
            StringValue(value=word),
            **({"subject": word, "source": "/waybill/test"} | attributes),
        )


@pytest.mark.parametrize(
    "moment", ["before commit", "before acknowledgement", "after acknowledgement"]
)
async def test_a_death_between_effect_and_acknowledgement_neither_loses_nor_doubles(
    effects: Any, database_url: str, kafka: str, new_topic: MakeTopic, moment: str
) -> None:
    """The consumer is killed at each moment; the one that comes after it puts it right."""
    topic = await new_topic()
    await tell(kafka, topic, "one", "two", "three")
    dying = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        CONSUMER_THAT_DIES,
        database_url,
        kafka,
        topic,
        effects.group,
        moment,
        stdout=asyncio.subprocess.DEVNULL,
    )
    assert await asyncio.wait_for(dying.wait(), 30) == -9
    before = {"before commit": [], "before acknowledgement": ["one", "two", "three"]}
    assert await effects.words() == before.get(moment, ["one", "two", "three"])
    async with effects.consumer(topics=[topic]):
        # Behind the others, so that they have been dealt with when this one is seen.
        await tell(kafka, topic, "four")
        await effects.become(["one", "two", "three", "four"])
    assert await effects.letters() == []


class Proxy:
    """Stands before a server, which can be taken away."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._pipes: set[asyncio.Task[None]] = set()
        self.port = 0

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def close(self) -> None:
        assert self._server is not None
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        for pipe in self._pipes:
            pipe.cancel()
        if self._pipes:
            await asyncio.wait(self._pipes)
        self._writers.clear()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            out_reader, out_writer = await asyncio.open_connection(*self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers.add(out_writer)
        for source, sink in ((reader, out_writer), (out_reader, writer)):
            task = asyncio.create_task(self._pipe(source, sink))
            self._pipes.add(task)
            task.add_done_callback(self._pipes.discard)

    @staticmethod
    async def _pipe(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(65536):
                sink.write(data)
                await sink.drain()
        sink.close()


@asynccontextmanager
async def proxy_for(address: str) -> AsyncIterator[Proxy]:
    host, _, port = address.rpartition(":")
    proxy = Proxy(host, int(port))
    await proxy.open()
    try:
        yield proxy
    finally:
        await proxy.close()


async def test_a_database_that_goes_away_loses_nothing(
    effects: Any, database_url: str, kafka: str, new_topic: MakeTopic
) -> None:
    """The batch waits until it is back; nothing is put aside, and nothing is done twice."""
    topic, url = await new_topic(), make_url(database_url)
    async with proxy_for(f"{url.host}:{url.port}") as proxy:
        through = url.set(host="127.0.0.1", port=proxy.port)
        database = Database(
            through.render_as_string(hide_password=False), service="intake", clock=SystemClock()
        )
        tries = 0

        async def handle(uow: UnitOfWork, events: Sequence[Event[Any]]) -> None:
            nonlocal tries
            tries += 1
            await effects.handle(uow, events)
            if tries == 2:
                await proxy.close()

        async with effects.consumer(database, topics=[topic], handle=handle) as consumer:
            await tell(kafka, topic, "one")
            await effects.become(["one"])
            await tell(kafka, topic, "two")
            await effects.until(lambda: reached(lambda: tries == 2))
            await tell(kafka, topic, "three")
            await consumer.ping()
            await proxy.open()
            await effects.become(["one", "two", "three"])
        await database.close()
    assert await effects.letters() == []


async def reached(condition: Callable[[], bool]) -> bool:
    return condition()


async def test_it_stops_while_the_database_is_away(
    effects: Any, kafka: str, new_topic: MakeTopic
) -> None:
    """The batch in hand is left to the next one, unacknowledged."""
    topic = await new_topic()
    await tell(kafka, topic, "one")
    tries = 0

    async def handle(uow: UnitOfWork, events: Sequence[Event[Any]]) -> None:
        nonlocal tries
        tries += 1
        raise ConnectionRefusedError("nobody there")

    async with effects.consumer(topics=[topic], handle=handle):
        await effects.until(lambda: reached(lambda: tries > 1))
    async with effects.consumer(topics=[topic]):
        await effects.become(["one"])
    assert await effects.letters() == []


async def test_a_broker_that_is_away_at_the_start_is_waited_for(
    effects: Any, kafka: str, new_topic: MakeTopic
) -> None:
    """The start does not fail; readiness does, until the broker is there."""
    topic = await new_topic()
    await tell(kafka, topic, "one")
    async with proxy_for(kafka) as proxy:
        await proxy.close()
        effects.kafka = f"127.0.0.1:{proxy.port}"
        async with effects.consumer(topics=[topic]) as consumer:
            for _ in range(2):
                with pytest.raises(ConnectionError):
                    await consumer.ping()
            await proxy.open()
            await effects.become(["one"])
            await consumer.ping()


async def test_an_outage_longer_than_the_poll_interval_costs_no_partition(
    effects: Any, kafka: str, new_topic: MakeTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A consumer that waits still counts as alive: no other member gets its batch."""
    monkeypatch.setattr(reader, "POLL_SECONDS", 2)
    monkeypatch.setattr(turn, "KEEP_ALIVE_SECONDS", 0.5)
    topic, away, tries, moves = await new_topic(4), False, dict[str, int](), 0
    revoked = reader.Reader._revoked

    async def counted(self: reader.Reader) -> None:
        nonlocal moves
        moves += 1
        await revoked(self)

    monkeypatch.setattr(reader.Reader, "_revoked", counted)

    def member(name: str) -> Any:
        async def handle(uow: UnitOfWork, events: Sequence[Event[Any]]) -> None:
            tries[name] = tries.get(name, 0) + 1
            if away:
                raise Unavailable("kb is away")
            await effects.handle(uow, events)

        return effects.consumer(topics=[topic], handle=handle)

    words: list[str] = []
    async with member("one"), member("other"):
        async with asyncio.timeout(80):
            while len(tries) < 2:  # until both have their partitions
                # New ones each time: who comes second never hears of what the first has had.
                new = [str(len(words) + n) for n in range(20)]
                words += new
                await tell(kafka, topic, *new)
                # A flood in this very loop would keep the members from polling in time.
                await asyncio.sleep(0.5)
        await effects.become(words)
        tries.clear()
        moves, away = 0, True
        await tell(kafka, topic, "late")
        # By then the pauses between them have grown to more than the interval.
        await effects.until(lambda: reached(lambda: sum(tries.values()) == 8))
        assert (list(tries.values()), moves) == ([8], 0)
        away = False
        await effects.become([*words, "late"])


async def test_a_member_that_stops_hands_over_at_once(
    effects: Any, kafka: str, new_topic: MakeTopic
) -> None:
    """Sooner than the group would notice that it has died."""
    topic = await new_topic(4)
    words = [str(n) for n in range(40)]
    async with effects.consumer(topics=[topic]):
        async with effects.consumer(topics=[topic]):
            await tell(kafka, topic, *words[:20])
            await effects.become(words[:20])
        await tell(kafka, topic, *words[20:])
        await effects.become(words, seconds=reader.SESSION_SECONDS - 2)


async def test_rebalancing_loses_and_doubles_nothing(
    effects: Any, kafka: str, new_topic: MakeTopic
) -> None:
    """Members come and go under load; each event has its effect once, those of a key in order."""
    topic, keys, rounds = await new_topic(6), 20, 60
    words = [f"{key}:{n}" for n in range(rounds) for key in range(keys)]

    async def load() -> None:
        async with producing(kafka) as producer:
            for word in words:
                await publish_with(producer, topic, word)
                await asyncio.sleep(0.005)

    async def slowly(uow: UnitOfWork, events: Sequence[Event[Any]]) -> None:
        await effects.handle(uow, events)
        await asyncio.sleep(0.05)

    how = {"topics": [topic], "handle": slowly, "max_batch": 40}
    loading = asyncio.create_task(load())
    async with effects.consumer(**how):
        for _ in range(2):
            async with effects.consumer(**how):
                await asyncio.sleep(2)
        await loading
        await effects.become(words, seconds=60)
    done = await effects.words()
    for key in range(keys):
        own = [int(word.split(":")[1]) for word in done if word.startswith(f"{key}:")]
        assert own == list(range(rounds))
    assert await effects.letters() == []


async def publish_with(producer: Any, topic: str, word: str) -> None:
    value, headers = event_of(StringValue(value=word), subject=word, source="/waybill/test")
    await producer.send(topic, value, key=word.partition(":")[0].encode(), headers=headers)


async def test_what_was_acknowledged_is_what_was_handled(
    effects: Any, kafka: str, new_topic: MakeTopic
) -> None:
    """A message that is being tried when the consumer stops is not acknowledged."""
    topic, trying = await new_topic(), asyncio.Event()

    async def handle(uow: UnitOfWork, events: Sequence[Event[Any]]) -> None:
        if any(event.message.value == "bad" for event in events):
            if len(events) == 1:
                trying.set()
                raise Unavailable("away")
            raise ValueError("go one by one")
        await effects.handle(uow, events)

    await tell(kafka, topic, "one", "two", "bad", "three")
    async with effects.consumer(topics=[topic], handle=handle):
        await trying.wait()
    assert await effects.words() == ["one", "two"]
    progress = StreamProgress(kafka, topic, effects.group)
    assert await progress.reached({0: 2})
    assert not await progress.reached({0: 3})
    await progress.stop()
