"""Texts as they are compared: without case, punctuation, greetings and Markdown."""

import hashlib
import re
import unicodedata

GREETINGS = frozenset(
    {
        *("hi", "hello", "hey", "dear", "greetings", "good", "morning", "afternoon", "evening"),
        *("there", "team", "support", "sir", "madam", "all", "everyone"),
        *("hallo", "guten", "tag", "liebes"),
    }
)
"""Words that open a letter: they are left out as long as nothing else has been said."""

THANKS = frozenset(
    {
        *("thanks", "thank", "you", "thx", "cheers", "regards", "kind", "best", "many", "please"),
        *("sincerely", "in", "advance", "danke", "vielen", "dank", "gruss", "grüsse", "viele"),
    }
)
"""Words that close one."""

_OPENERS = GREETINGS - {"there", "team", "support", "sir", "madam", "all", "everyone"}
_CLOSERS = frozenset({"thanks", "thank", "thx", "cheers", "regards", "sincerely", "danke", "dank"})

CONFIGS = {
    "ar": "arabic",
    "da": "danish",
    "de": "german",
    "el": "greek",
    "en": "english",
    "es": "spanish",
    "eu": "basque",
    "fi": "finnish",
    "fr": "french",
    "ga": "irish",
    "hi": "hindi",
    "hu": "hungarian",
    "hy": "armenian",
    "id": "indonesian",
    "it": "italian",
    "lt": "lithuanian",
    "nb": "norwegian",
    "ne": "nepali",
    "nl": "dutch",
    "nn": "norwegian",
    "no": "norwegian",
    "pt": "portuguese",
    "ro": "romanian",
    "ru": "russian",
    "sr": "serbian",
    "sv": "swedish",
    "ta": "tamil",
    "tr": "turkish",
    "yi": "yiddish",
}


def primary(language: str) -> str:
    """The language itself, without script and region: `en` of `en-GB`."""
    return language.partition("-")[0].lower()


def search_config(language: str) -> str:
    """PostgreSQL's text search configuration for a BCP 47 tag; `simple` where it has none."""
    return CONFIGS.get(primary(language), "simple")


def normalised(text: str) -> str:
    """The words of a text, in order: no case, no punctuation, no greeting, no thanks.

    Letters, digits and the marks that belong to them are kept, and currency signs, so that
    "order 12" and "order 13" stay two texts. "Hello team, card lost. Thanks!" is "card lost".
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    kept = (char if _counts(char) else " " for char in folded)
    return " ".join(_without_politeness("".join(kept).split()))


def _counts(char: str) -> bool:
    category = unicodedata.category(char)
    return category[0] in "LNM" or category == "Sc"


def _without_politeness(words: list[str]) -> list[str]:
    start, end = 0, len(words)
    if words and words[0] in _OPENERS:
        while start < end and words[start] in GREETINGS:
            start += 1
    while end > start and words[end - 1] in THANKS:
        end -= 1
    # "What can you" ends with a word of thanks and thanks nobody.
    return words[start:end] if _CLOSERS & set(words[end:]) else words[start:]


def text_hash(title: str, description: str) -> bytes | None:
    """What is equal for two tickets that say the same; None for one that says no word."""
    words = " ".join(filter(None, (normalised(title), normalised(description))))
    return hashlib.sha256(words.encode()).digest() if words else None


_MARKDOWN = (
    (re.compile(r"```.*?(?:```|\Z)", re.DOTALL), " "),
    (re.compile(r"!?\[([^\]]*)\]\([^)]*\)"), r"\1"),
    (re.compile(r"^[ \t]{0,3}(?:#{1,6}|>|[-*+]|\d+[.)])[ \t]+", re.MULTILINE), ""),
    (re.compile(r"(\*\*|__|`|~~)(.+?)\1"), r"\2"),
    (re.compile(r"(?<!\w)[*_](\S(?:[^*_\n]*\S)?)[*_](?!\w)"), r"\1"),
    (re.compile(r"<[^<>\n]{1,200}>"), ""),
)


def plain(markdown: str) -> str:
    """What Markdown says, without its marks and code blocks; paragraphs stay apart."""
    for mark, replacement in _MARKDOWN:
        markdown = mark.sub(replacement, markdown)
    paragraphs = re.split(r"\n\s*\n", markdown)
    return "\n\n".join(line for line in (" ".join(part.split()) for part in paragraphs) if line)
