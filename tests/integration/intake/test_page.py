"""What the ticket's page promises, and quick replies: other services may be away, slow or wrong."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from waybill.common.v1 import ticket_enums_pb2 as words
from waybill.common.v1.actor_pb2 import Agent
from waybill.kb.v1 import article_pb2
from waybill.kb.v1 import service_pb2 as kb_pb2
from waybill.kb.v1 import service_pb2_grpc as kb_grpc
from waybill.notify.v1 import delivery_pb2
from waybill.notify.v1 import service_pb2 as notify_pb2
from waybill.notify.v1 import service_pb2_grpc as notify_grpc
from waybill.routing.v1 import assignment_pb2
from waybill.routing.v1 import service_pb2 as routing_pb2
from waybill.routing.v1 import service_pb2_grpc as routing_grpc
from waybill.sla.v1 import clock_pb2
from waybill.sla.v1 import service_pb2 as sla_pb2
from waybill.sla.v1 import service_pb2_grpc as sla_grpc
from waybill_chassis.health import Health
from waybill_chassis.problems import Invalid, NotFound
from waybill_chassis.rpc import GrpcServer, Servicer
from waybill_chassis.testing.services import AWAY
from waybill_chassis.testing.tokens import Mint

KIM = {"role": "submitter", "sub": "kim@example.com", "products": ("shop",)}
SHOP = {"role": "service", "sub": "shop", "products": ("shop",)}
PEERS = ("routing", "sla", "notify", "kb")
EVERYTHING = "messages,log,sla,assignment,similar,deliveries,submitter"


class Others(
    routing_grpc.AssignmentServiceServicer,
    sla_grpc.ClockServiceServicer,
    notify_grpc.DeliveryServiceServicer,
    kb_grpc.KnowledgeServiceServicer,
):
    """All four other services, who say what a test has them say."""

    def __init__(self) -> None:
        self.asked: list[Any] = []
        self.unknown = False
        self.similar: list[str] = []
        self.before: Callable[[], Awaitable[Any]] | None = None

    async def _hear(self, request: Any) -> None:
        self.asked.append(request)
        if self.before is not None:
            await self.before()

    async def GetAssignment(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._hear(request)
        if self.unknown:
            raise NotFound("There is no such ticket.")
        return routing_pb2.GetAssignmentResponse(
            assignment=assignment_pb2.Assignment(
                ticket_id=request.ticket_id,
                state=assignment_pb2.ASSIGNMENT_STATE_ASSIGNED,
                agent=Agent(id="a1", name="Ana", email="ana@example.com"),
                team="support",
                version=3,
                why="claimed",
                method=assignment_pb2.ASSIGNMENT_METHOD_CLAIM,
            )
        )

    async def GetClock(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._hear(request)
        if self.unknown:
            raise NotFound("There is no such ticket.")
        target = clock_pb2.Target(
            kind=words.TARGET_KIND_RESPONSE,
            state=words.TARGET_STATE_RUNNING,
            due_at=Timestamp(seconds=1_800_000_000),
            allowed=Duration(seconds=3600),
            elapsed=Duration(seconds=60),
        )
        return sla_pb2.GetClockResponse(
            clock=clock_pb2.Clock(
                ticket_id=request.ticket_id,
                state=clock_pb2.CLOCK_STATE_RUNNING,
                priority=words.PRIORITY_HIGH,
                targets=[target],
                version=2,
            ),
            segments=[clock_pb2.Segment(kind=clock_pb2.SEGMENT_KIND_RUNNING)],
            remaining=[
                sla_pb2.TargetRemaining(
                    kind=words.TARGET_KIND_RESPONSE, remaining=Duration(seconds=3540)
                )
            ],
        )

    async def ListDeliveries(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._hear(request)
        one = delivery_pb2.Delivery(
            id="d1",
            template="receipt",
            channel=delivery_pb2.DELIVERY_CHANNEL_EMAIL,
            recipient="kim@example.com",
            state=delivery_pb2.DELIVERY_STATE_DELIVERED,
            attempts=1,
        )
        return notify_pb2.ListDeliveriesResponse(deliveries=[one], next_cursor="more")

    async def FindSimilar(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._hear(request)
        return kb_pb2.FindSimilarResponse(
            tickets=[
                article_pb2.SimilarTicket(ticket_id=id, number="WB-?", similarity=0.5)
                for id in self.similar
            ]
        )

    async def RenderQuickReply(self, request: Any, context: Any) -> Any:  # noqa: N802
        await self._hear(request)
        values = request.values
        match request.quick_reply_id:
            case "greeting":
                body = (
                    f"Hello {values['submitter_name']}, {values['number']}. {values['agent_name']}"
                )
            case "weather":
                raise Invalid("This quick reply needs weather.")
            case _:
                raise NotFound("There is no such quick reply.")
        return kb_pb2.RenderQuickReplyResponse(quick_reply_id="q1", body=body, version=1)


@pytest.fixture
async def others(mint: Mint) -> AsyncIterator[tuple[Others, str]]:
    """A real server, and its address."""
    holder = Others()
    added: list[tuple[Any, str]] = [
        (routing_grpc.add_AssignmentServiceServicer_to_server, "routing.v1.AssignmentService"),
        (sla_grpc.add_ClockServiceServicer_to_server, "sla.v1.ClockService"),
        (notify_grpc.add_DeliveryServiceServicer_to_server, "notify.v1.DeliveryService"),
        (kb_grpc.add_KnowledgeServiceServicer_to_server, "kb.v1.KnowledgeService"),
    ]
    server = GrpcServer(
        [Servicer(add, holder, f"waybill.{name}") for add, name in added],
        host="127.0.0.1",
        port=0,
        verifier=mint.verifier(),
        health=Health(),
        grace=0.1,
    )
    await server.start()
    yield holder, f"127.0.0.1:{server.port}"
    await server.stop()


@pytest.fixture
def connected(
    intake_with: Callable[..., Awaitable[Any]],
    others: tuple[Others, str],
    mint: Mint,
    tmp_path: Path,
) -> Callable[..., Awaitable[Any]]:
    """Makes intake with its peers there, but for those that are `away`."""
    token = tmp_path / "token"
    token.write_text(mint.token("service", sub="intake"))

    async def make(*away: str, **settings: Any) -> Any:
        peers = {f"{name}_grpc": AWAY if name in away else others[1] for name in PEERS}
        # Long, so that a busy machine is not taken for a peer that is away.
        patient = {"page_timeout_seconds": 5.0, "quick_reply_timeout_seconds": 5.0}
        return await intake_with(**(patient | peers | {"service_token_file": token} | settings))

    return make


def page(ticket: dict[str, Any], expand: str) -> str:
    return f"/v1/tickets/{ticket['id']}?expand={expand}"


async def test_the_page_holds_everything_in_one_answer(connected: Any, others: Any) -> None:
    """Beside the ticket as it always is; each service is asked once."""
    intake = await connected()
    ticket = await intake.open(
        submitter={"email": "kim@example.com", "name": "Kim"}, description="*Help* <b>me</b>"
    )
    other = await intake.open(title="Alike")
    others[0].similar = [other["id"]]
    path = f"/v1/tickets/{ticket['id']}/messages"
    await intake.ask("POST", path, {"body": "**Hi**"}, status=201)
    await intake.ask("POST", path, {"body": "Hm.", "kind": "note"}, status=201)
    shown = await intake.ask("GET", page(ticket, f"html&expand={EVERYTHING}"))
    parts = shown.pop("expanded")
    assert shown.pop("description_html") == "<p><em>Help</em> &lt;b&gt;me&lt;/b&gt;</p>\n"
    assert shown == await intake.read(ticket)
    assert set(parts) == set(EVERYTHING.split(","))
    assert all(part["available"] and part["reason"] is None for part in parts.values())
    data = {name: part["data"] for name, part in parts.items()}
    assert [one["body"] for one in data["messages"]["items"]] == ["**Hi**", "Hm."]
    assert data["messages"]["items"][0]["body_html"] == "<p><strong>Hi</strong></p>\n"
    assert len(data["log"]["items"]) == 4
    assert data["assignment"]["agent"] == {"id": "a1", "name": "Ana"}
    assert (data["assignment"]["state"], data["assignment"]["method"]) == ("assigned", "claim")
    assert data["sla"]["response"]["due_at"] == "2027-01-15T08:00:00Z"
    assert (data["sla"]["response"]["remaining"], data["sla"]["resolution"]) == ("PT59M", None)
    assert data["deliveries"]["more"]
    assert data["deliveries"]["items"][0]["state"] == "delivered"
    (alike,) = data["similar"]["items"]
    assert (alike["number"], alike["title"], alike["similarity"]) == (other["number"], "Alike", 0.5)
    assert (data["submitter"]["name"], data["submitter"]["open"]) == ("Kim", 2)
    assert len(others[0].asked) == 4


async def test_parts_that_are_away_are_marked_and_the_rest_is_there(
    connected: Any, others: Any
) -> None:
    """Whether nobody is there, nobody has heard of it yet, or nobody answers in time."""
    intake = await connected("notify", "kb")
    others[0].unknown = True
    ticket = await intake.open()
    parts = (await intake.ask("GET", page(ticket, EVERYTHING)))["expanded"]
    there = {name for name, part in parts.items() if part["available"]}
    assert there == {"messages", "log", "submitter"}
    for name in ("similar", "deliveries", "sla", "assignment"):
        assert parts[name]["data"] is None
        assert parts[name]["reason"]
    assert "kb" in parts["similar"]["reason"]
    assert "yet" in parts["sla"]["reason"]


async def test_a_slow_part_does_not_hold_up_the_page(connected: Any, others: Any) -> None:
    """It is left out once the page's time is over; the others have come long before."""
    intake = await connected(page_timeout_seconds=0.3)
    others[0].before = asyncio.Event().wait
    ticket = await intake.open()
    parts = (await intake.ask("GET", page(ticket, "sla,messages,submitter")))["expanded"]
    assert {name: part["available"] for name, part in parts.items()} == {
        "sla": False, "messages": True, "submitter": True,
    }  # fmt: skip


async def test_no_connection_is_held_while_others_are_asked(connected: Any, others: Any) -> None:
    """With a single one left in the pool, the others can still use it."""
    intake = await connected(database_pool_size=2)
    others[0].before = intake.tested.rt.database.ping
    others[0].similar = [(await intake.open())["id"]]
    ticket = await intake.open()
    body = {"quick_reply_id": "greeting"}
    async with intake.tested.rt.database.reading():
        parts = (await intake.ask("GET", page(ticket, EVERYTHING)))["expanded"]
        await intake.ask("POST", f"/v1/tickets/{ticket['id']}/messages", body, status=201)
    assert all(part["available"] for part in parts.values())


@pytest.mark.parametrize(
    ("who", "foreign"),
    [
        (KIM, {"log", "assignment", "similar", "deliveries"}),
        (SHOP, {"log", "similar", "deliveries"}),
    ],
)
async def test_everybody_expands_only_what_they_may_see(
    connected: Any, who: dict[str, Any], foreign: set[str]
) -> None:
    """403 names what is not theirs; the rest they get, without notes and agents' addresses."""
    intake = await connected()
    ticket = await intake.open()
    path = f"/v1/tickets/{ticket['id']}/messages"
    await intake.ask("POST", path, {"body": "Hm.", "kind": "note"}, status=201)
    await intake.ask("POST", path, {"body": "Hi."}, status=201)
    for name in foreign:
        refused = await intake.ask("GET", page(ticket, f"messages,{name}"), status=403, **who)
        assert refused["parts"] == [name]
    rest = ",".join(sorted(set(EVERYTHING.split(",")) - foreign))
    parts = (await intake.ask("GET", page(ticket, f"html,{rest}"), **who))["expanded"]
    assert all(part["available"] for part in parts.values())
    assert [one["body"] for one in parts["messages"]["data"]["items"]] == ["Hi."]
    assert "ana@example.com" not in str(parts)
    await intake.ask(
        "GET", page(ticket, rest), status=404, **(who | {"products": (), "sub": "x@y.z"})
    )


async def test_similar_tickets_of_other_products_are_not_shown(connected: Any, others: Any) -> None:
    """Though kb, which answers to our own token, may have missed that they went elsewhere."""
    intake = await connected()
    ticket, same = await intake.open(), await intake.open()
    toys = await intake.open(product="toys")
    others[0].similar = [toys["id"], same["id"], "01900000-0000-7000-8000-000000000000"]
    shown = await intake.ask("GET", page(ticket, "similar"), products=("shop",))
    items = shown["expanded"]["similar"]["data"]["items"]
    assert [item["ticket_id"] for item in items] == [same["id"]]
    assert others[0].asked[0].product == "shop"


@pytest.mark.parametrize("expand", ["everything", "messages,colour", "log&expand=a%20b"])
async def test_an_unknown_part_is_refused_with_those_that_there_are(
    intake: Any, expand: str
) -> None:
    """422, in `expand`."""
    ticket = await intake.open()
    problem = await intake.ask("GET", page(ticket, expand), status=422)
    assert problem["errors"][0]["field"] == "expand"
    assert "assignment, deliveries, html, log" in problem["detail"]


async def test_a_quick_reply_is_sent_with_the_tickets_values(connected: Any, others: Any) -> None:
    """The words of kb, unless there are own ones; either way it is noted."""
    intake = await connected()
    ticket = await intake.open(submitter={"email": "kim@example.com", "name": "Kim"})
    path = f"/v1/tickets/{ticket['id']}/messages"
    preview = await intake.ask("POST", f"{path}/preview", {"quick_reply_id": "greeting"})
    assert preview["body"] == f"Hello Kim, {ticket['number']}. Ana"
    assert preview["body_html"] == f"<p>{preview['body']}</p>\n"
    said = await intake.ask("POST", path, {"quick_reply_id": "greeting"}, status=201)
    assert (said["body"], said["quick_reply_id"]) == (preview["body"], "q1")
    assert (others[0].asked[-1].product, others[0].asked[-1].values["title"]) == (
        "shop", ticket["title"],
    )  # fmt: skip
    asked = len(others[0].asked)
    own = {"quick_reply_id": "greeting", "body": "In my words."}
    said = await intake.ask("POST", path, own, status=201)
    assert (said["body"], said["quick_reply_id"]) == ("In my words.", "greeting")
    assert len(others[0].asked) == asked
    for name in ("nothing", "weather"):
        problem = await intake.ask("POST", path, {"quick_reply_id": name}, status=422)
        assert problem["errors"][0]["field"] == "quick_reply_id"
    assert await intake.count("messages") == 2


async def test_without_kb_an_agent_is_told_to_write_the_text(connected: Any, others: Any) -> None:
    """503 and nothing is said; what was said before is still answered as it was."""
    intake = await connected()
    ticket = await intake.open()
    path = f"/v1/tickets/{ticket['id']}/messages"
    headers = intake.token() | {"Idempotency-Key": "once"}
    body = {"quick_reply_id": "greeting"}
    first = await intake.ask("POST", path, body, status=201, headers=headers)
    others[0].before = asyncio.Event().wait
    intake.tested.rt.settings.__dict__["quick_reply_timeout_seconds"] = 0.2
    problem = await intake.ask("POST", path, body, status=503)
    assert "yourself" in problem["detail"]
    assert await intake.ask("POST", path, body, status=201, headers=headers) == first
    assert await intake.count("messages") == 1
