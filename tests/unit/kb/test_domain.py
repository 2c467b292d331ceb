from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from waybill_chassis.auth import Principal
from waybill_chassis.problems import Conflict, Forbidden, Invalid
from waybill_kb.domain import articles
from waybill_kb.domain.articles import Article, Content, State, Visibility
from waybill_kb.domain.confidence import Corpus, confidence, doubted
from waybill_kb.domain.quick_replies import Body, QuickReply, body_in, check_text, rendered
from waybill_kb.domain.tickets import Sibling, Windows, findings

NOON = datetime(2026, 1, 5, 12, tzinfo=UTC)
WINDOWS = Windows(timedelta(hours=24), timedelta(days=7), 3)
CORPUS = Corpus(articles=20, frequency={"card": 12, "arriv": 2, "track": 1})


def ticket(number: int, hours: float = 0, external_ref: bool = False) -> Sibling:
    opened = NOON + timedelta(hours=hours)
    return Sibling(
        id=UUID(int=number), number=f"WB-{number}", created_at=opened, external_ref=external_ref
    )


def test_the_same_text_within_a_day_is_a_duplicate_of_the_older() -> None:
    """The window counts from opening to opening, whichever was read first."""
    older, younger = ticket(1), ticket(2, hours=24)
    for fresh in ([older.id], [younger.id], [older.id, younger.id]):
        (finding,) = findings([younger, older], fresh, WINDOWS)
        assert finding.ticket == younger
        assert finding.duplicates == (older,)
    assert findings([older, ticket(2, hours=24.1)], [older.id], WINDOWS) == []


def test_a_product_s_own_request_is_no_duplicate() -> None:
    """Neither of one with an `external_ref`, nor one itself; but it counts as a repetition."""
    first, own, third = ticket(1), ticket(2, 1, external_ref=True), ticket(3, 2)
    found = findings([first, own, third], [third.id], WINDOWS)
    assert [f.duplicates for f in found] == [(first,)]
    assert found[0].earlier == (first, own)
    assert findings([first, own], [own.id], WINDOWS) == []


def test_the_third_time_within_a_week_is_a_repetition() -> None:
    """Not the second, and not one whose first was more than a week ago."""
    first, second, third = ticket(1), ticket(2, hours=48), ticket(3, hours=168)
    assert findings([first, second], [second.id], WINDOWS) == []
    (finding,) = findings([first, second, third], [third.id], WINDOWS)
    assert finding.earlier == (first, second)
    assert finding.duplicates == ()
    assert findings([first, second, ticket(4, hours=169)], [UUID(int=4)], WINDOWS) == []


def test_an_older_ticket_that_is_read_late_changes_what_is_said_of_the_younger() -> None:
    """The last thing told of a ticket is complete, in whatever order they were read."""
    first, second, third = ticket(1), ticket(2, 1), ticket(3, 2)
    found = {f.ticket: f for f in findings([first, second, third], [first.id], WINDOWS)}
    assert found[second].duplicates == (first,)
    assert found[third].duplicates == (first, second)
    assert found[third].earlier == (first, second)
    assert found[third].because_of == first.id


def test_confidence_is_0_for_nonsense_and_low_for_one_common_word() -> None:
    """A question whose words stand in no article, or that says next to nothing."""
    assert confidence(CORPUS, frozenset({"xyzzy", "plugh"}), {}) == 0
    assert confidence(CORPUS, frozenset(), {}) == 0
    assert confidence(CORPUS, frozenset({"card"}), {"card": "D"}) < 0.2


def test_confidence_grows_with_rare_words_and_better_places() -> None:
    """A rare word in the title says more than a common one in the body; never more than 1."""
    question = frozenset({"card", "arriv", "track"})
    common = confidence(CORPUS, question, {"card": "A"})
    rare = confidence(CORPUS, question, {"arriv": "A"})
    body = confidence(CORPUS, question, {"arriv": "D"})
    everything = confidence(CORPUS, question, {"card": "A", "arriv": "A", "track": "A"})
    assert body < rare
    assert common < rare < everything <= 1
    assert confidence(CORPUS, question | {"unheard"}, {"arriv": "A"}) < rare


def test_articles_that_answer_equally_well_make_each_other_doubtful() -> None:
    """A clear winner keeps its confidence, a tie halves it, and the order stays."""
    assert doubted([0.8, 0.5, 0.1]) == [0.8, 0.5, 0.1]
    assert doubted([0.8, 0.8, 0.1]) == [0.4, 0.4, 0.1]
    assert doubted([0.6]) == [0.6]
    assert doubted([0.0, 0.0]) == [0.0, 0.0]
    assert doubted([]) == []


def test_a_quick_reply_names_every_value_it_lacks() -> None:
    """And puts what it is given in as it is."""
    text = "Hello {{ name }}, {{number}} and {{ name }}"
    assert rendered(text, {"name": "{{ number }}", "number": "WB-1"}) == (
        "Hello {{ number }}, WB-1 and {{ number }}"
    )
    with pytest.raises(Invalid) as raised:
        rendered(text, {})
    assert [e["field"] for e in raised.value.errors] == ["values.name", "values.number"]


@pytest.mark.parametrize("text", ["{{ Name }}", "{{name", "a }} b", "{{ a.b }}", "{{}}"])
def test_braces_that_are_no_gap_are_refused(text: str) -> None:
    """A quick reply never reaches a customer with its seams showing."""
    with pytest.raises(Invalid):
        check_text(text, "text")


def test_a_quick_reply_speaks_the_language_wanted_or_its_first() -> None:
    """The very tag, else the language, else the first body."""
    reply = QuickReply(
        id=UUID(int=1),
        name="x",
        title="x",
        bodies=(Body("en", "1"), Body("pt-PT", "2"), Body("pt-BR", "3")),
        products=(),
        version=1,
        created_at=NOON,
        updated_at=NOON,
    )
    asked = ("pt-BR", "pt", "fr", "", "en-GB")
    assert [body_in(reply, language).text for language in asked] == ["3", "2", "1", "1", "1"]


def article(**facts: object) -> Article:
    known = {
        "id": UUID(int=1),
        "version": 2,
        "state": State.PUBLISHED,
        "content": Content(title="t", summary="s", body="b", language="en"),
        "published_version": 2,
        "published_at": NOON,
        "created_at": NOON,
        "updated_at": NOON,
    }
    return Article(**(known | facts))  # type: ignore[arg-type]


def test_what_is_published_stays_so_while_it_is_edited() -> None:
    """An edit is a new version; publishing it is another step; archived rests."""
    old = article()
    new = articles.edited(old, old.content, NOON)
    assert (new.version, new.published_version, new.state) == (3, 2, State.PUBLISHED)
    assert not articles.is_published(new)
    assert articles.is_published(articles.published(new, NOON))
    with pytest.raises(Conflict):
        articles.edited(articles.archived(old, NOON), old.content, NOON)


def test_internal_articles_and_drafts_are_for_agents_of_the_product() -> None:
    """Everybody else reads what is published and public."""
    agent = Principal("a", roles=frozenset({"agent"}), products=frozenset({"demo"}))
    person = Principal("p", roles=frozenset({"submitter"}))
    content = Content(
        title="t",
        summary="s",
        body="b",
        language="en",
        products=("demo",),
        visibility=Visibility.INTERNAL,
    )
    for hidden in (article(content=content), article(state=State.DRAFT, published_version=None)):
        assert articles.may_read(hidden, agent)
        assert not articles.may_read(hidden, person)
        assert not articles.may_read(hidden, None)
    assert articles.may_read(article(), None)
    with pytest.raises(Forbidden):
        articles.check_may_write((), agent)
    with pytest.raises(Forbidden):
        articles.check_may_write(("demo", "other"), agent)
