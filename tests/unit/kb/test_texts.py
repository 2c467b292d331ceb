import pytest
from waybill_kb.domain.texts import normalised, plain, search_config, text_hash


@pytest.mark.parametrize(
    "text",
    [
        "My card is lost",
        "my   CARD is lost!!!",
        "Hello team,\n\nmy card is lost.\n\nThanks, kind regards",
        "Hi there! My card, is lost - please, thank you",
    ],
)
def test_the_same_words_are_the_same_text(text: str) -> None:
    """Case, spaces, punctuation, a greeting and thanks make no difference."""
    assert normalised(text) == "my card is lost"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("order 12 is late", "order 13 is late"),
        ("I lost €5", "I lost $5"),
        ("card lost", "lost card"),
        ("what can you do", "what can"),
        ("हिन्दी", "हनद"),
    ],
)
def test_what_says_something_else_stays_another_text(one: str, other: str) -> None:
    """Numbers, currencies, order and marks that belong to letters count."""
    assert text_hash(one, "") != text_hash(other, "")


def test_a_text_without_words_is_like_no_other() -> None:
    """Two tickets that say "???" are no duplicates."""
    assert text_hash("???", "Hello!") is None


def test_markdown_becomes_what_it_says() -> None:
    """Marks, links and code leave the words alone; snake_case is no emphasis."""
    text = "# Title\n\n- see [the **docs**](http://x)\n- `run` my_own_name *now*\n\n```\ncode\n```"
    assert plain(text) == "Title\n\nsee the docs run my_own_name now"


def test_a_language_without_a_stemmer_is_searched_by_its_words() -> None:
    """`simple` is PostgreSQL's configuration for whatever has no other."""
    assert search_config("de-AT") == "german"
    assert search_config("ja") == "simple"
    assert search_config("") == "simple"
