"""Markdown of tickets and messages: as HTML that is safe to show, and whom it speaks to."""

import re
from collections.abc import Iterator, MutableMapping, Sequence
from html import escape
from typing import Any

import nh3
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import OptionsDict

_TAGS = frozenset(
    {"a", "blockquote", "br", "code", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol"}
    | {"p", "pre", "s", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul"}
)
_SCHEMES = frozenset({"http", "https", "mailto"})
_MENTION = re.compile(
    r"(?<![\w@.+-])@([a-z0-9._%+-]+@[a-z0-9](?:[a-z0-9-]*[a-z0-9])?(?:\.[a-z0-9-]*[a-z0-9])+)",
    re.IGNORECASE | re.ASCII,
)


def _image(
    renderer: RendererHTML,
    tokens: Sequence[Token],
    index: int,
    options: OptionsDict,
    env: MutableMapping[str, Any],
) -> str:
    """A link to the image: whoever reads is not to load what a stranger points at."""
    token = tokens[index]
    words = renderer.renderInlineAsText(token.children or [], options, env)
    address = str(token.attrs.get("src", ""))
    return f'<a href="{escape(address)}">{escape(words or address)}</a>'


def _parser() -> MarkdownIt:
    parser = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    parser.add_render_rule("image", _image)
    return parser


_PARSER = _parser()
# The parser escapes what is no Markdown; what is left of HTML is cleaned all the same, so that no
# mistake in one of the two is enough.
_CLEANER = nh3.Cleaner(
    tags=set(_TAGS),
    attributes={"a": {"href", "title"}, "ol": {"start"}},
    url_schemes=set(_SCHEMES),
    url_relative="deny",
    link_rel="noopener noreferrer nofollow",
)


def to_html(text: str) -> str:
    """The text as HTML of a few harmless elements; raw HTML in it is shown as it is written."""
    return _CLEANER.clean(_PARSER.render(text))


def mentions(text: str) -> tuple[str, ...]:
    """The addresses, in lower case and each once, that stand in it as `@ana@example.com`.

    Not those in code.
    """
    found = (
        match[1].lower()
        for token in _inline(_PARSER.parse(text))
        if token.type == "text"
        for match in _MENTION.finditer(token.content)
    )
    return tuple(dict.fromkeys(found))


def _inline(tokens: Sequence[Token]) -> Iterator[Token]:
    for token in tokens:
        yield from token.children or ()
