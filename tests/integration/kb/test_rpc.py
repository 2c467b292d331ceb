"""What other services ask, without the wire: the servicer's own methods."""

from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pytest
from waybill.intake.v1.service_pb2 import StreamTicketsRequest, StreamTicketsResponse
from waybill.kb.v1.article_pb2 import VISIBILITY_INTERNAL
from waybill.kb.v1.service_pb2 import (
    FindSimilarRequest,
    ReconcileRequest,
    RenderQuickReplyRequest,
    SuggestRequest,
)
from waybill_chassis.auth import Principal
from waybill_chassis.clock import ManualClock
from waybill_chassis.events import Event
from waybill_chassis.problems import Invalid, NotFound, Unavailable
from waybill_chassis.testing.services import TestedService
from waybill_kb import rpc
from waybill_kb.consumers import handle
from waybill_kb.demo import seed
from waybill_kb.settings import Settings

SERVICE = Principal("notify", roles=frozenset({"service"}), products=frozenset({"*"}))


@pytest.fixture
def knowledge(kb: TestedService[Settings], monkeypatch: pytest.MonkeyPatch) -> rpc.Knowledge:
    """The servicer as another service calls it."""
    monkeypatch.setattr(rpc, "authorize", lambda *roles, product=None: SERVICE)
    return rpc.Knowledge(kb.rt)


async def test_suggestions_are_few_and_internal_ones_only_when_asked_for(
    kb: TestedService[Settings], knowledge: rpc.Knowledge
) -> None:
    """Three by default, without bodies; no product means only what is about all products."""
    async with kb.rt.database.unit_of_work() as uow:
        await seed(uow)
    question = "how to handle a disputed payment with a chargeback"

    async def suggest(**more: Any) -> list[Any]:
        answer = await knowledge.Suggest(SuggestRequest(text=question, **more), None)
        return list(answer.suggestions)

    public = await suggest(product="demo")
    assert 0 < len(public) <= 3
    assert all(s.article.visibility != VISIBILITY_INTERNAL for s in public)
    internal = await suggest(product="demo", include_internal=True, limit=1)
    assert internal[0].article.visibility == VISIBILITY_INTERNAL
    assert internal[0].article.body == ""
    assert internal[0].excerpt
    assert 0 < internal[0].confidence <= 1
    assert await suggest() == []
    assert await suggest(product="demo", language="fr") == []
    with pytest.raises(Invalid):
        await knowledge.Suggest(SuggestRequest(text=" "), None)
    with pytest.raises(Invalid):
        await suggest(limit=21)


async def test_a_quick_reply_is_rendered_by_its_name_or_its_id(
    kb: TestedService[Settings], knowledge: rpc.Knowledge
) -> None:
    """Missing values are named; what is not for the product is not there."""
    async with kb.rt.database.unit_of_work() as uow:
        await seed(uow)
    values = {"submitter_name": "Sam", "number": "WB-1", "agent_name": "Ana"}

    async def render(name: str, **more: Any) -> Any:
        request = RenderQuickReplyRequest(quick_reply_id=name, **more)
        return await knowledge.RenderQuickReply(request, None)

    english = await render("greeting", values=values)
    assert english.body.startswith("Hello Sam,")
    german = await render(english.quick_reply_id, values=values, language="de-AT", product="demo")
    assert german.body.startswith("Guten Tag Sam,")
    with pytest.raises(Invalid) as raised:
        await render("greeting", values={"number": "WB-1"})
    assert [error["field"] for error in raised.value.errors] == [
        "values.submitter_name",
        "values.agent_name",
    ]
    for unknown in ({"name": "nothing"}, {"name": "greeting", "product": "other"}):
        with pytest.raises(NotFound):
            await render(**unknown)


async def test_a_ticket_that_is_not_known_yet_is_no_error(
    kb: TestedService[Settings],
    knowledge: rpc.Knowledge,
    event: Callable[..., Event[Any]],
    clock: ManualClock,
) -> None:
    """With intake away nothing is similar yet; a text finds what is there."""
    unknown, known = event(at=clock.now()), event(at=clock.now())
    async with kb.rt.database.unit_of_work() as uow:
        await handle(uow, [known], kb.rt.settings.windows())
    monkey = FindSimilarRequest(ticket_id=unknown.subject)

    async def away(*args: Any, **kwargs: Any) -> Any:
        raise Unavailable("intake is away")

    kb.rt.peers.intake.ask = away  # type: ignore[method-assign]
    assert not (await knowledge.FindSimilar(monkey, None)).tickets
    found = await knowledge.FindSimilar(FindSimilarRequest(text="I lost my card"), None)
    assert [ticket.ticket_id for ticket in found.tickets] == [known.subject]
    clock.advance(timedelta(days=91))
    old = await knowledge.FindSimilar(FindSimilarRequest(text="I lost my card"), None)
    assert not old.tickets


async def test_reconciling_repairs_what_was_missed_and_spares_what_is_under_way(
    kb: TestedService[Settings],
    knowledge: rpc.Knowledge,
    event: Callable[..., Event[Any]],
    clock: ManualClock,
) -> None:
    """A ticket never heard of and a wrong text are put right; an owner that is away is named."""
    missed, wrong, right = (event(at=clock.now(), title=f"number {n}") for n in range(3))
    async with kb.rt.database.unit_of_work() as uow:
        await handle(uow, [wrong, right], kb.rt.settings.windows())
    wrong.message.ticket.title = "something else"
    rpc_settings = kb.rt.settings
    object.__setattr__(rpc_settings, "reconcile_pause_seconds", 0.0)

    async def stream(
        method: Any, request: StreamTicketsRequest, **_: Any
    ) -> AsyncIterator[StreamTicketsResponse]:
        for sent in (missed, wrong, right):
            if not request.ticket_ids or sent.subject in request.ticket_ids:
                yield StreamTicketsResponse(ticket=sent.message.ticket, sequence=1)

    kb.rt.peers.intake.stream = stream  # type: ignore[method-assign]
    found = (await knowledge.Reconcile(ReconcileRequest(), None)).report
    assert (found.checked, found.differing, found.repaired) == (3, 2, 0)
    assert {d.field for d in found.differences} == {"(missing)", "text"}
    repaired = (await knowledge.Reconcile(ReconcileRequest(repair=True), None)).report
    assert repaired.repaired == 2
    clean = (await knowledge.Reconcile(ReconcileRequest(), None)).report
    assert (clean.checked, clean.differing) == (3, 0)

    async def away(*args: Any, **kwargs: Any) -> AsyncIterator[StreamTicketsResponse]:
        raise Unavailable("intake is away")
        yield

    kb.rt.peers.intake.stream = away  # type: ignore[method-assign]
    assert (await knowledge.Reconcile(ReconcileRequest(), None)).report.unreachable == ["intake"]
