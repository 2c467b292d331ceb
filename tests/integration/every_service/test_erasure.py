"""A person who is erased is in no table of any service, and nothing late brings them back."""

from typing import Any

import pytest
from google.protobuf.struct_pb2 import Struct, Value
from waybill.common.v1 import actor_pb2
from waybill.intake.v1 import events_pb2 as intake
from waybill.intake.v1 import ticket_pb2
from waybill_chassis.events import NO_TRACE
from waybill_chassis.ids import new_id
from waybill_notify import store, usecases
from waybill_notify.domain import Outcome, Verdict

KIM, NAME, PHRASE = "kim.zweistein@example.com", "Kim Zweistein", "quokka"
MARKS = (KIM, NAME, "zweistein", PHRASE)
PERSON = ticket_pb2.Submitter(id=str(new_id()), email=KIM, name=NAME)
ACTOR = actor_pb2.Actor(kind=actor_pb2.ACTOR_KIND_SUBMITTER, id=KIM, name=NAME, email=KIM)
AGENT = actor_pb2.Actor(
    kind=actor_pb2.ACTOR_KIND_AGENT, id="ana", name="Ana", email="ana@example.com"
)

_SEARCH = """
    SELECT '{table}' AS place, CAST(t AS text) AS row FROM {table} AS t WHERE EXISTS (
        SELECT FROM unnest(CAST(:marks AS text[])) AS mark
        WHERE strpos(lower(CAST(t AS text)), lower(mark)) > 0
           OR strpos(lower(CAST(t AS text)), encode(convert_to(mark, 'UTF8'), 'hex')) > 0)
"""


async def kept(there: Any) -> list[str]:
    """Whatever names the person, in any table; also as hexadecimal digits of bytes."""
    tables = await there.rows(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        " AND tablename <> 'alembic_version'"
    )
    search = " UNION ALL ".join(_SEARCH.format(table=row.tablename) for row in tables)
    return [f"{row.place}: {row.row}" for row in await there.rows(search, marks=list(MARKS))]


class Life:
    """What intake tells of a ticket of Kim's, as far as the tests want it."""

    def __init__(self, there: Any) -> None:
        self.there = there
        self.id = str(new_id())
        opened = there.opened(
            self.id,
            number="WB-77",
            title=f"A {PHRASE} title",
            description=f"I am {NAME} and my {PHRASE} is late.",
            submitter=PERSON,
            order_refs=[PHRASE],
            external_ref=PHRASE,
        )
        opened.ticket.custom_fields.CopyFrom(Struct(fields={"pet": Value(string_value=PHRASE)}))
        opened.ticket.created_at.FromDatetime(there.service.clock.now())
        opened.ticket.status_since.CopyFrom(opened.ticket.created_at)
        opened.ticket.episode_since.CopyFrom(opened.ticket.created_at)
        opened.actor.CopyFrom(ACTOR)
        self.ticket = opened.ticket
        self.opened = opened

    def said(self, kind: Any = intake.MessagePosted, author: Any = ACTOR, **more: Any) -> Any:
        """An event of the ticket as it stands, full of Kim."""
        event = kind(actor=author, ticket=self.ticket, **more)
        if kind is intake.MessagePosted:
            event.message.CopyFrom(
                ticket_pb2.Message(
                    id=str(new_id()),
                    ticket_id=self.id,
                    kind=ticket_pb2.MESSAGE_KIND_REPLY,
                    author=author,
                    body=f"Dear {NAME}, the {PHRASE}!",
                )
            )
        return event

    def record(self, event: Any, sequence: int) -> Any:
        return self.there.record(event, self.id, sequence)

    def erasure(self) -> Any:
        event = intake.PersonErased(
            actor=AGENT,
            submitter_id=PERSON.id,
            email=KIM,
            name=NAME,
            ticket_ids=[self.id],
        )
        event.erased_at.FromDatetime(self.there.service.clock.now())
        return self.there.record(event, PERSON.id, 1)

    def afterwards(self) -> Any:
        """The last that intake tells of the ticket."""
        event = intake.TicketEdited(actor=AGENT, ticket=self.ticket)
        event.ticket.title = event.ticket.description = "(erased)"
        for field in ("custom_fields", "order_refs", "external_ref"):
            event.ticket.ClearField(field)
        event.ticket.submitter.email = event.ticket.submitter.name = ""
        event.ticket.erased_at.FromDatetime(self.there.service.clock.now())
        return event


@pytest.mark.parametrize("name", ["routing", "sla", "notify", "kb"])
@pytest.mark.parametrize("first", ["the person", "the ticket"])
async def test_nothing_of_an_erased_person_is_kept_and_nothing_late_is_taken_in(
    name: str, first: str, scene: Any
) -> None:
    """Whichever of the two streams is read first, and whatever comes again or too late."""
    async with scene(name) as there:
        consumer = there.consumer(intake.TicketOpened)
        life = Life(there)
        if name == "kb":
            headers = there.token("submitter", sub=KIM, claims={"name": NAME})
            headers["Idempotency-Key"] = "once"
            vote = {"helpful": False, "comment": f"No word of a {PHRASE}."}
            path = f"/v1/articles/{there.ids['article']}/feedback"
            await there.ask("POST", path, vote, headers=headers)
        records = [
            life.record(life.opened, 1),
            life.record(life.said(), 2),
            life.record(life.said(author=AGENT), 3),
        ]
        assert await there.read(consumer, *records)
        if name not in ("routing",):
            assert await kept(there)

        late = life.record(life.said(), 5)
        very_late = life.record(life.said(author=AGENT), 4)
        steps = [life.erasure(), life.record(life.afterwards(), 6)]
        if first == "the ticket":
            steps.reverse()
        for step in steps:
            assert await there.read(consumer, step)
            assert await there.read(consumer, late)
            assert await there.read(consumer, very_late)
        for again in (*steps, *records, late):
            assert await there.read(consumer, again)
        assert await there.dead_letters() == []
        assert await kept(there) == []


@pytest.mark.parametrize("name", ["routing", "sla", "notify", "kb"])
async def test_a_ticket_that_is_first_heard_of_after_the_erasure_stays_unknown_by_person(
    name: str, scene: Any
) -> None:
    """The streams are not ordered against each other: all of the ticket's may come later."""
    async with scene(name) as there:
        consumer = there.consumer(intake.TicketOpened)
        life = Life(there)
        assert await there.read(consumer, life.erasure())
        assert await there.read(consumer, life.record(life.opened, 1), life.record(life.said(), 2))
        assert await kept(there) == []
        assert await there.read(consumer, life.record(life.afterwards(), 3))
        assert await kept(there) == []


@pytest.mark.parametrize("name", ["routing", "sla", "notify", "kb"])
async def test_what_was_put_aside_and_waits_to_be_told_loses_the_person_too(
    name: str, scene: Any
) -> None:
    """A dead letter that the broker has not taken yet is no hiding place."""
    async with scene(name) as there:
        consumer = there.consumer(intake.TicketOpened)
        life = Life(there)
        broken = life.said(intake.TicketEdited)
        record = there.record(broken, life.id, 1)
        headers = [
            (key, b"no time" if key == "ce_time" else value) for key, value in record.headers
        ]
        bad = there.raw(topic=record.topic, value=record.value, headers=headers, key=record.key)
        assert await there.read(consumer, bad)
        assert len(await there.dead_letters()) == 1
        assert await kept(there)
        assert await there.read(consumer, life.erasure())
        assert await kept(there) == []
        (letter,) = await there.dead_letters()
        assert letter.event_type == "waybill.intake.v1.TicketEdited"
        assert intake.TicketEdited.FromString(letter.value).ticket.id == life.id


async def test_a_mail_that_fails_in_the_moment_of_the_erasure_leaves_no_address(
    scene: Any,
) -> None:
    """What the server said of the recipient is not kept, and the mail is not sent again."""
    async with scene("notify") as there:
        consumer = there.consumer(intake.TicketOpened)
        life = Life(there)
        assert await there.read(consumer, life.record(life.opened, 1))
        database = there.service.rt.database
        async with database.unit_of_work() as uow:
            claimed = await store.claim(uow, new_id(), most=10, seconds=30)
        assert await there.read(consumer, life.erasure())
        now = there.service.clock.now()
        policy = there.service.rt.settings.retry_policy
        async with database.unit_of_work() as uow:
            outcome = Outcome(Verdict.TEMPORARY, f"450 <{KIM}> is greylisted")
            results = [
                usecases.Result(one, outcome, now, now, NO_TRACE)
                for one in claimed
                if str(one.ticket_id) == life.id
            ]
            await usecases.book(uow, results, policy)
        assert await kept(there) == []
        rows = await there.rows("SELECT state FROM deliveries WHERE ticket_id = :id", id=life.id)
        assert [row.state for row in rows] == ["suppressed"]
