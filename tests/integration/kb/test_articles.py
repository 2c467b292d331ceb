"""Articles from draft to archive, over HTTP."""

from collections.abc import Awaitable, Callable
from typing import Any

from waybill_chassis.testing.services import TestedService
from waybill_chassis.testing.tokens import Mint
from waybill_kb.demo import seed, written
from waybill_kb.settings import Settings

Emitted = Callable[[], Awaitable[list[tuple[str, str, Any]]]]

ARTICLE = {
    "title": "Where is my parcel?",
    "summary": "Parcels take three days.",
    "body": "# Delivery\n\nA parcel takes **three days**. It can be tracked.",
    "products": ["demo"],
    "tags": ["Parcel"],
}


async def test_an_article_is_found_from_its_publishing_to_its_archiving(
    kb: TestedService[Settings], mint: Mint, emitted: Emitted
) -> None:
    """Agents draft, leads publish; an edit is found only once it is published too."""
    agent, lead = mint.headers("agent"), mint.headers("lead", sub="lena@example.com")
    once = {"Idempotency-Key": "k"}
    created = await kb.client.post("/v1/articles", json=ARTICLE, headers=agent | once)
    assert created.status_code == 201
    assert created.headers["ETag"] == '"1"'
    again = await kb.client.post("/v1/articles", json=ARTICLE, headers=agent | once)
    assert again.json() == created.json()
    path = created.headers["Location"]

    async def search() -> list[Any]:
        found = await kb.client.get(
            "/v1/search", params={"q": "parcel tracking", "product": "demo"}
        )
        return found.json()["items"]

    assert (await kb.client.get(path)).status_code == 404
    assert await search() == []
    assert (await kb.client.post(f"{path}/publish", headers=agent)).status_code == 403
    published = await kb.client.post(f"{path}/publish", headers=lead)
    assert published.json()["state"] == "published"
    (hit,) = await search()
    assert hit["article"]["tags"] == ["parcel"]
    assert "body" not in hit["article"]
    assert "tracked" in hit["excerpt"]
    assert "*" not in hit["excerpt"]

    change = {"title": "Parcels and letters"}
    unsaid = await kb.client.patch(path, json=change, headers=agent)
    assert unsaid.status_code == 428
    edited = await kb.client.patch(path, json=change, headers=agent | {"If-Match": '"1"'})
    assert edited.headers["ETag"] == '"2"'
    stale = await kb.client.patch(path, json=change, headers=agent | {"If-Match": '"1"'})
    assert stale.status_code == 412
    assert (await kb.client.get(path)).json()["title"] == ARTICLE["title"]
    assert (await kb.client.get(path, headers=agent)).json()["title"] == change["title"]
    stale = await kb.client.post(f"{path}/publish", headers=lead | {"If-Match": '"1"'})
    assert stale.status_code == 412
    for _ in range(2):
        await kb.client.post(f"{path}/publish", headers=lead | {"If-Match": '"2"'})
    assert (await kb.client.get(path)).json()["title"] == change["title"]

    for _ in range(2):
        assert (await kb.client.post(f"{path}/archive", headers=lead)).status_code == 200
    assert await search() == []
    assert (await kb.client.get(path)).status_code == 404
    refused = await kb.client.patch(path, json=change, headers=agent | {"If-Match": '"2"'})
    assert refused.status_code == 409
    told = await emitted()
    assert [name for name, _, _ in told] == [
        "ArticlePublished",
        "ArticlePublished",
        "ArticleArchived",
    ]
    assert [message.article.version for _, _, message in told] == [1, 2, 2]
    assert told[0][2].article.body == ARTICLE["body"]
    assert told[2][2].article.body == ""
    assert told[0][2].actor.id == "lena@example.com"


async def test_internal_articles_are_found_by_agents_only(
    kb: TestedService[Settings], mint: Mint
) -> None:
    """Neither without a token, nor by submitters, nor by agents of other products."""
    lead = mint.headers("lead")
    created = await kb.client.post(
        "/v1/articles", json=ARTICLE | {"visibility": "internal"}, headers=lead
    )
    path = created.headers["Location"]
    await kb.client.post(f"{path}/publish", headers=lead)
    readers = {
        "nobody": {},
        "submitter": mint.headers("submitter", sub="sam@example.com"),
        "elsewhere": mint.headers("agent", products=("other",)),
        "agent": mint.headers("agent", products=("demo",)),
    }
    found = {}
    for name, headers in readers.items():
        hits = await kb.client.get("/v1/search", params={"q": "parcel"}, headers=headers)
        listed = await kb.client.get("/v1/articles", headers=headers)
        read = await kb.client.get(path, headers=headers)
        found[name] = (len(hits.json()["items"]), len(listed.json()["items"]), read.status_code)
    assert found == {
        "nobody": (0, 0, 404),
        "submitter": (0, 0, 404),
        "elsewhere": (0, 0, 404),
        "agent": (1, 1, 200),
    }


async def test_articles_are_listed_in_pages(kb: TestedService[Settings], mint: Mint) -> None:
    """Each one once, the youngest first."""
    agent = mint.headers("agent")
    ids = []
    for number in range(5):
        body = ARTICLE | {"title": f"Article {number}"}
        ids.append((await kb.client.post("/v1/articles", json=body, headers=agent)).json()["id"])
    seen: list[str] = []
    cursor = None
    while True:
        params = {"limit": 2, "state": "draft"} | ({"cursor": cursor} if cursor else {})
        page = (await kb.client.get("/v1/articles", params=params, headers=agent)).json()
        seen += [item["id"] for item in page["items"]]
        if (cursor := page["next_cursor"]) is None:
            break
    assert seen == ids[::-1]


async def test_bad_input_is_named_and_changes_nothing(
    kb: TestedService[Settings], mint: Mint
) -> None:
    """Each with its status and the field that is wrong."""
    agent, lead = mint.headers("agent"), mint.headers("lead", products=("demo",))
    post, get = kb.client.post, kb.client.get
    cases = [
        (await post("/v1/articles", json=ARTICLE), 401, None),
        (await post("/v1/articles", json=ARTICLE, headers=mint.headers("submitter")), 403, None),
        (await post("/v1/articles", json=ARTICLE | {"title": ""}, headers=agent), 422, "title"),
        (await post("/v1/articles", json=ARTICLE | {"x": 1}, headers=agent), 422, "x"),
        (
            await post("/v1/articles", json=ARTICLE | {"language": "?"}, headers=agent),
            422,
            "language",
        ),
        (await post("/v1/articles", json=ARTICLE | {"products": []}, headers=lead), 403, None),
        (await get("/v1/articles/nothing"), 422, "id"),
        (await get("/v1/articles/00000000-0000-7000-8000-000000000000"), 404, None),
        (await get("/v1/articles?cursor=bad"), 422, "cursor"),
        (await get("/v1/search"), 422, "q"),
        (await get("/v1/search", params={"q": "x" * 501}), 422, "q"),
        (await post("/v1/suggestions", json={"text": "?"}), 401, None),
        (
            await post("/v1/suggestions", json={"text": "x", "limit": 0}, headers=agent),
            422,
            "limit",
        ),
    ]
    for answer, status, field in cases:
        assert answer.status_code == status, answer.text
        if field:
            assert answer.json()["errors"][0]["field"].endswith(field)
    assert (await get("/v1/articles", headers=agent)).json()["items"] == []


async def test_any_text_can_be_searched_for(kb: TestedService[Settings], mint: Mint) -> None:
    """Quotes, backslashes, operators and nonsense are words at most."""
    async with kb.rt.database.unit_of_work() as uow:
        await seed(uow)
    for q in ("'", "\\", "a' | b & !c:*", '"', "xyzzy plugh", "http://x/'y\\z?a=b", "💥", "%_"):
        answer = await kb.client.get("/v1/search", params={"q": q, "product": "demo"})
        assert answer.status_code == 200, q
        assert answer.json()["items"] == []


async def test_feedback_is_one_per_person(kb: TestedService[Settings], mint: Mint) -> None:
    """The last word counts; what a person cannot read they cannot judge."""
    lead, sam = mint.headers("lead"), mint.headers("submitter", sub="sam@example.com")
    path = (await kb.client.post("/v1/articles", json=ARTICLE, headers=lead)).headers["Location"]
    opinion = {"helpful": False, "comment": "too short"}
    hidden = await kb.client.post(f"{path}/feedback", json=opinion, headers=sam)
    assert hidden.status_code == 404
    await kb.client.post(f"{path}/publish", headers=lead)
    for helpful in (False, True):
        given = await kb.client.post(f"{path}/feedback", json={"helpful": helpful}, headers=sam)
        assert given.status_code == 201
    shown = (await kb.client.get(path, headers=lead)).json()
    assert shown["feedback"] == {"helpful": 1, "not_helpful": 0}
    assert "feedback" not in (await kb.client.get(path, headers=sam)).json()


async def test_the_demonstration_answers_real_questions(
    kb: TestedService[Settings], emitted: Emitted
) -> None:
    """Paraphrased questions are answered surely, others not; seeding twice changes nothing."""
    for _ in range(2):
        async with kb.rt.database.unit_of_work() as uow:
            await seed(uow)
    assert len(await emitted()) == len(written()) >= 12
    expected = {
        "I am still waiting for my new card to arrive": "When does my new card arrive?",
        "how can I change the PIN of my card": "Seeing, changing and unblocking the PIN",
        "Somebody stole my phone": "My card or phone was lost or stolen",
        "I forgot my passcode and cannot log in": "I cannot log in to the app",
        "The refund is missing on my statement": "Refunds: how to ask, and when the money is there",
        "which exchange rate applies to foreign currencies": "Currencies and exchange rates",
    }
    for question, title in expected.items():
        answer = await kb.client.get("/v1/search", params={"q": question, "product": "demo"})
        best = answer.json()["items"][0]
        assert best["article"]["title"] == title
        assert best["confidence"] > 0.5, question
    for question in ("what is the weather tomorrow", "asdf qwer zxcv", "tell me a joke about cats"):
        answer = await kb.client.get("/v1/search", params={"q": question, "product": "demo"})
        assert all(item["confidence"] < 0.3 for item in answer.json()["items"]), question
