"""What a stack holds once it is quiet: its topics, its owners' state, its ledgers, its mails."""

import asyncio
import mailbox
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.parser import BytesHeaderParser
from typing import Any

import asyncpg
import grpc
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from google.protobuf.message import Message
from waybill.intake.v1 import events_pb2 as intake_events
from waybill.intake.v1.service_pb2 import StreamTicketsRequest
from waybill.intake.v1.service_pb2_grpc import TicketServiceStub
from waybill.kb.v1 import events_pb2 as kb_events
from waybill.notify.v1 import events_pb2 as notify_events
from waybill.routing.v1 import events_pb2 as routing_events
from waybill.routing.v1.service_pb2 import StreamAssignmentsRequest
from waybill.routing.v1.service_pb2_grpc import AssignmentServiceStub
from waybill.sla.v1 import events_pb2 as sla_events
from waybill.sla.v1.service_pb2 import StreamClocksRequest
from waybill.sla.v1.service_pb2_grpc import ClockServiceStub
from waybill_chassis.events import events_topic, feed_topic
from waybill_cli import topics
from waybill_cli.api import OPERATOR
from waybill_cli.local import keys
from waybill_cli.local.settings import SERVICES, StackSettings

_MODULES = {
    "intake": intake_events,
    "routing": routing_events,
    "sla": sla_events,
    "notify": notify_events,
    "kb": kb_events,
}


@dataclass(frozen=True, slots=True)
class Told:
    """One record of a topic. `appended_at` is the broker's time."""

    topic: str
    partition: int
    offset: int
    appended_at: datetime
    id: str
    source: str
    subject: str
    type: str
    sequence: int | None
    time: datetime
    trace_id: str
    value: bytes

    @property
    def name(self) -> str:
        """`TicketOpened`."""
        return self.type.rpartition(".")[2]

    @property
    def message(self) -> Any:
        """The event itself, for those of the five services."""
        owner = self.type.split(".")[1]
        return getattr(_MODULES[owner], self.name).FromString(self.value)

    def __str__(self) -> str:
        """Where to find it."""
        place = f"{self.topic}[{self.partition}]@{self.offset}"
        return f"{self.name} {self.id} of {self.subject} at {place}"


@dataclass(frozen=True, slots=True)
class Owned:
    """What an owner says of a ticket, and the sequence of the event that said so last."""

    state: Any
    sequence: int


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything, read once."""

    records: list[Told]
    feed: list[Told]
    tickets: dict[str, Owned]
    assignments: dict[str, Owned]
    clocks: dict[str, Owned]
    projections: dict[str, asyncpg.Record]
    messages: list[asyncpg.Record]
    log: list[asyncpg.Record]
    deliveries: list[asyncpg.Record]
    attempts: list[asyncpg.Record]
    mails: Counter[str]
    """How many mails in the Maildir have this Message-ID."""

    @property
    def events(self) -> list[Told]:
        """The events of the five services as a reader takes them: each once."""
        return list({(told.source, told.id): told for told in reversed(self.records)}.values())[
            ::-1
        ]

    def named(self, *names: str) -> list[Told]:
        """Those of these types, each once."""
        return [told for told in self.events if told.name in names]


async def gather(stack: StackSettings) -> Facts:
    """Read it all from a stack in which nothing is on its way any more."""
    records = [
        told for service in SERVICES for told in await read(stack.kafka, events_topic(service))
    ]
    tickets, assignments, clocks = await asyncio.to_thread(_streams, stack)
    return Facts(
        records=records,
        feed=await read(stack.kafka, feed_topic("demo")),
        tickets=tickets,
        assignments=assignments,
        clocks=clocks,
        projections={
            str(row["ticket_id"]): row
            for row in await rows(stack, "intake", "SELECT * FROM ticket_facts")
        },
        messages=await rows(stack, "intake", "SELECT * FROM messages"),
        log=await rows(stack, "intake", "SELECT * FROM ticket_log ORDER BY position"),
        deliveries=await rows(stack, "notify", "SELECT * FROM deliveries"),
        attempts=await rows(stack, "notify", "SELECT * FROM attempts"),
        mails=_mails(stack),
    )


async def rows(stack: StackSettings, service: str, query: str) -> list[asyncpg.Record]:
    """What a service's own database answers."""
    connection = await asyncpg.connect(stack.database_url(service))
    try:
        return await connection.fetch(query)
    finally:
        await connection.close()


async def read(bootstrap: str, topic: str) -> list[Told]:
    """The whole topic, each partition in its order."""
    count = (await topics.partitions(bootstrap, [topic]))[topic]
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        places = [TopicPartition(topic, p) for p in range(count)]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        await consumer.seek_to_beginning(*places)
        found: list[Any] = []
        while any([await consumer.position(place) < ends[place] for place in places]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found += records
        return [_told(record) for record in found]
    finally:
        await consumer.stop()


def _told(record: Any) -> Told:
    named = {name: value.decode() for name, value in record.headers}
    sequence = named.get("ce_sequence")
    return Told(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        appended_at=datetime.fromtimestamp(record.timestamp / 1000, UTC),
        id=named["ce_id"],
        source=named["ce_source"],
        subject=named["ce_subject"],
        type=named["ce_type"],
        sequence=None if sequence is None else int(sequence),
        time=datetime.fromisoformat(named["ce_time"]),
        trace_id=named.get("traceparent", "--").split("-")[1],
        value=record.value,
    )


def _streams(
    stack: StackSettings,
) -> tuple[dict[str, Owned], dict[str, Owned], dict[str, Owned]]:
    token = keys.mint(stack.keys_dir, OPERATOR, timedelta(hours=1))
    asked = {"timeout": 60.0, "metadata": [("authorization", f"Bearer {token}")]}
    with grpc.insecure_channel(stack.grpc_address("intake")) as channel:
        answers = TicketServiceStub(channel).StreamTickets(StreamTicketsRequest(), **asked)
        tickets = {one.ticket.id: Owned(one.ticket, one.sequence) for one in answers}
    with grpc.insecure_channel(stack.grpc_address("routing")) as channel:
        stub = AssignmentServiceStub(channel)
        answers = stub.StreamAssignments(StreamAssignmentsRequest(), **asked)
        assignments = {
            one.assignment.ticket_id: Owned(one.assignment, one.sequence) for one in answers
        }
    with grpc.insecure_channel(stack.grpc_address("sla")) as channel:
        answers = ClockServiceStub(channel).StreamClocks(StreamClocksRequest(), **asked)
        clocks = {one.clock.ticket_id: Owned(one.clock, one.sequence) for one in answers}
    return tickets, assignments, clocks


def _mails(stack: StackSettings) -> Counter[str]:
    box = mailbox.Maildir(stack.data_dir / "mail", create=False)
    parser = BytesHeaderParser()
    return Counter(parser.parsebytes(box.get_bytes(key))["message-id"] for key in box.keys())  # noqa: SIM118 - a Maildir is no dict


async def settled(stack: StackSettings, seconds: float) -> float:
    """Wait until nothing is on its way; how long that took. Fails, saying what still was."""
    began = time.monotonic()
    quiet = 0
    while quiet < 2:
        pending = await _on_its_way(stack)
        quiet = 0 if pending else quiet + 1
        waited = time.monotonic() - began
        assert waited < seconds, f"not settled after {seconds:.0f} s: {', '.join(pending)}"
        await asyncio.sleep(0.5)
    return time.monotonic() - began


async def _on_its_way(stack: StackSettings) -> list[str]:
    """Whatever is still to be published, read, sent or fired soon."""
    found = []
    for service in SERVICES:
        ((count,),) = await rows(stack, service, "SELECT count(*) FROM outbox")
        if count:
            found.append(f"{count} events in {service}'s outbox")
    found += await _unread(stack)
    for service, what, query in (
        ("notify", "deliveries", "SELECT count(*) FROM deliveries WHERE state = 'pending'"),
        (
            "sla",
            "timers",
            "SELECT count(*) FROM timers WHERE due_at < now() + interval '5 minutes'",
        ),
    ):
        ((count,),) = await rows(stack, service, query)
        if count:
            found.append(f"{count} {what} of {service}")
    return found


async def _unread(stack: StackSettings) -> list[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.kafka)
    consumer = AIOKafkaConsumer(bootstrap_servers=stack.kafka)
    await admin.start()
    await consumer.start()
    try:
        groups = [name for name, *_ in await admin.list_consumer_groups()]
        found = []
        for group in sorted(name for name in groups if name.startswith("waybill-")):
            offsets = await admin.list_consumer_group_offsets(group)
            ends = await consumer.end_offsets(list(offsets))
            if behind := sum(ends[place] - offsets[place].offset for place in offsets):
                found.append(f"{behind} records that {group} has not read")
        return found
    finally:
        await consumer.stop()
        await admin.close()


def last(events: Sequence[Told]) -> dict[str, Told]:
    """Of each subject the event with the highest sequence."""
    found: dict[str, Told] = {}
    for told in events:
        if told.subject not in found or (told.sequence or 0) > (found[told.subject].sequence or 0):
            found[told.subject] = told
    return found


def moment(stamp: Any) -> datetime:
    """A protobuf time, to the microsecond."""
    return stamp.ToDatetime(tzinfo=UTC)


def same(one: Message, other: Message, *but: str) -> bool:
    """Whether two messages agree in all fields, these left out."""
    copies = []
    for message in (one, other):
        copy = type(message).FromString(message.SerializeToString())
        for name in but:
            copy.ClearField(name)
        copies.append(copy)
    return copies[0] == copies[1]
