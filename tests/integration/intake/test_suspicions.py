"""What may be the same: merged, or marked until somebody decides, unless it was worked on."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from waybill.common.v1 import actor_pb2
from waybill.kb.v1 import events_pb2 as kb
from waybill.kb.v1.article_pb2 import SimilarTicket

ANA = actor_pb2.Agent(id="a1", name="Ana", email="Ana@example.com")
KIM = {"role": "submitter", "sub": "kim@example.com"}

Make = Callable[..., Any]


@pytest.fixture
def suspected(event: Make) -> Make:
    """Makes the suspicion that a ticket is like older ones."""

    def make(
        ticket: Any, *older: Any, same: bool = True, score: float = 0.9, sequence: int = 1
    ) -> Any:
        candidates = [
            SimilarTicket(
                ticket_id=other["id"],
                number=other["number"],
                same_text=same,
                same_submitter=True,
                similarity=1.0 if same else score,
            )
            for other in older
        ]
        message = kb.DuplicateSuspected(ticket_id=ticket["id"], candidates=candidates)
        return event(ticket, message, sequence)

    return make


async def marks(intake: Any, ticket: Any, **who: Any) -> Any:
    """The numbers of the tickets that it is shown to be like."""
    shown = await intake.ask("GET", f"/v1/tickets/{ticket['id']}", **who)
    found = shown["suspected_duplicates"]
    return None if found is None else [one["number"] for one in found]


@pytest.mark.parametrize(
    ("between", "merged"),
    [("nothing", True), ("note", True), ("assignment", True), ("edit", True),
     ("reply", False), ("message", False), ("question", False), ("solution", False)],
)  # fmt: skip
async def test_only_what_nobody_has_worked_on_in_public_is_merged(
    between: str, merged: bool, intake: Any, event: Make, has: Make, suspected: Make
) -> None:
    """Whoever has an answer keeps their ticket; it is marked instead."""
    older, ticket = await intake.open(), await intake.open()
    match between:
        case "note":
            await intake.say(ticket, "note")
        case "assignment":
            await intake.hear(event(ticket, has(ticket, ANA)))
        case "edit":
            await intake.edit(ticket, tags=["twice"])
        case "reply":
            await intake.say(ticket)
        case "message":
            await intake.say(ticket, **KIM)
        case "question":
            await intake.move(ticket, "in_progress", "awaiting_user")
        case "solution":
            await intake.move(ticket, "resolved")
    await intake.hear(suspected(ticket, older))
    now = await intake.read(ticket)
    assert now["merged_into"] == (older["id"] if merged else None)
    assert await marks(intake, ticket) == ([] if merged else [older["number"]])
    outcome = f"merged into {older['number']}" if merged else "marked"
    assert (await intake.last_line(ticket, kb.DuplicateSuspected)).endswith(f": {outcome}")


async def test_nobody_is_merged_into_what_counts_as_solved(intake: Any, suspected: Make) -> None:
    """Who asks again is not helped by that; among the others the oldest is taken."""
    solved, older, ticket = [await intake.open() for _ in range(3)]
    await intake.move(solved, "resolved")
    await intake.hear(suspected(ticket, solved))
    assert (await intake.read(ticket))["merged_into"] is None
    await intake.hear(suspected(ticket, solved, older, sequence=2))
    assert (await intake.read(ticket))["merged_into"] == older["id"]


async def test_suspicions_of_one_batch_end_in_the_oldest(intake: Any, suspected: Make) -> None:
    """Heard together, twice and out of order."""
    one, two, three = [await intake.open() for _ in range(3)]
    events = [suspected(three, one, two), suspected(two, one)]
    await intake.hear(*events, *events)
    for ticket in (two, three):
        assert (await intake.read(ticket))["merged_into"] == one["id"]
    assert (await intake.names(one)).count("TicketMerged") == 2


async def test_what_is_merely_similar_is_marked_until_it_is_decided(
    intake: Any, suspected: Make
) -> None:
    """No version, no event, nothing for submitters; dismissed once, it stays dismissed."""
    older, other, ticket = [await intake.open(title=f"T{n}") for n in range(3)]
    await intake.hear(suspected(ticket, older, other, same=False, sequence=2))
    assert await intake.names(ticket) == ["TicketOpened"]
    shown = await intake.read(ticket)
    assert shown["version"] == 1
    assert shown["suspected_duplicates"][0] == {
        "ticket_id": older["id"], "number": older["number"], "score": 0.9,
    }  # fmt: skip
    assert await marks(intake, ticket, **KIM) is None
    await intake.hear(suspected(ticket, other, same=False))
    assert await marks(intake, ticket) == [older["number"], other["number"]]
    path = f"/v1/tickets/{ticket['id']}/suspected-duplicates/{older['number']}"
    for _ in range(2):
        shown = await intake.ask("DELETE", path)
        assert [one["number"] for one in shown["suspected_duplicates"]] == [other["number"]]
    assert await intake.names(ticket) == ["TicketOpened", "TicketEdited"]
    await intake.hear(suspected(ticket, older, sequence=3))
    assert await marks(intake, ticket) == []
    assert (await intake.read(ticket))["status"] == "pending"
    await intake.ask("DELETE", path, **KIM, status=403)


async def test_a_mark_goes_with_the_merge_in_either_direction(intake: Any, suspected: Make) -> None:
    """Into the older or into the newer: then there is nothing to suspect."""
    one, two, three = [await intake.open(title=f"T{n}") for n in range(3)]
    await intake.hear(suspected(three, one, two, same=False))
    await intake.ask("POST", f"/v1/tickets/{one['id']}/merge", {"into": three["number"]})
    assert await marks(intake, three) == [two["number"]]
    await intake.ask("POST", f"/v1/tickets/{three['id']}/merge", {"into": two["number"]})
    assert await marks(intake, three) == []


async def test_similar_tickets_are_merged_where_the_setting_says_so(
    intake: Any, suspected: Make
) -> None:
    """From the similarity on that it names."""
    headers = intake.token("admin") | {"If-Match": "*"}
    body = {"merge_similar": 0.85}
    await intake.ask("PUT", "/v1/intake/settings", body, headers=headers)
    intake.tested.clock.advance(timedelta(seconds=5))
    older, less, more = [await intake.open(title=f"T{n}") for n in range(3)]
    await intake.hear(suspected(less, older, same=False, score=0.84))
    await intake.hear(suspected(more, older, same=False, score=0.85))
    assert (await intake.read(less))["merged_into"] is None
    assert (await intake.read(more))["merged_into"] == older["id"]


async def test_what_was_undone_by_hand_is_not_done_again(intake: Any, suspected: Make) -> None:
    """Whoever made two of one knows better, whatever is suspected later."""
    older, ticket = await intake.open(), await intake.open()
    await intake.hear(suspected(ticket, older))
    await intake.ask("DELETE", f"/v1/tickets/{ticket['id']}/merge")
    await intake.hear(suspected(ticket, older, sequence=2))
    assert (await intake.read(ticket))["merged_into"] is None
    assert await marks(intake, ticket) == []


async def test_tickets_that_cannot_be_one_are_not_marked(intake: Any, suspected: Make) -> None:
    """Another product's, a product's own requests, closed ones, itself and unknown ones."""
    elsewhere = await intake.open(product="bank", submitter={"email": "eve@example.com"})
    referenced = await intake.open(external_ref="x")
    closed = await intake.move(await intake.open(), "closed")
    ticket = await intake.open()
    unknown = {"id": "0198" + "0" * 28, "number": "WB-1"}
    await intake.hear(suspected(ticket, elsewhere, referenced, closed, ticket, unknown, same=False))
    assert await marks(intake, ticket) == []
    await intake.hear(suspected(referenced, ticket))
    assert await marks(intake, referenced) == []
