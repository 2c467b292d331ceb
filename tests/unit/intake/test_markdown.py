"""What Markdown becomes: harmless HTML, and the people it speaks to."""

from html.parser import HTMLParser

import pytest
from waybill_intake.markdown import mentions, to_html

ALLOWED = {
    "a", "blockquote", "br", "code", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "ol",
    "p", "pre", "s", "strong", "table", "tbody", "td", "th", "thead", "tr", "ul",
}  # fmt: skip


class Reader(HTMLParser):
    """What a browser would find in it."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += attrs


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    return reader


VECTORS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg/onload=alert(1)>",
    "<svg><script>alert(1)</script></svg>",
    "<math><mtext><table><mglyph><style><!--</style><img title='--&gt;&lt;img src=1 onerror=1'>",
    "<iframe src='javascript:alert(1)'></iframe>",
    "<a href='javascript:alert(1)'>x</a>",
    "<style>*{background:url(//evil.example)}</style>",
    "<form action='https://evil.example'><input name=p><button>x</button></form>",
    "<base href='https://evil.example/'>",
    "<meta http-equiv=refresh content='0;url=https://evil.example'>",
    "<details open ontoggle=alert(1)>",
    "<noscript><p title='</noscript><img src=x onerror=alert(1)>'>",
    "<!--><img src=x onerror=alert(1)>-->",
    "<![CDATA[<img src=x onerror=alert(1)>]]>",
    "<x\x0bonclick=alert(1)>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java&#115;cript:alert(1))",
    "[x](java\tscript:alert(1))",
    "[x](<java\u0000script:alert(1)>)",
    "[x](&#x6A;avascript&colon;alert(1))",
    "[x](javascript&#58;alert(1))",
    "[x](vbscript:msgbox(1))",
    "[x](data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==)",
    "[x](data:image/svg+xml;base64,PHN2Zz48L3N2Zz4=)",
    "![x](data:image/png;base64,AAAA)",
    "![x](https://evil.example/pixel.gif)",
    '![x"onerror="alert(1)](https://evil.example/"onerror="alert(1))',
    "[x](file:///etc/passwd)",
    "[x](//evil.example)",
    "[x](/r/token)",
    "[x](\\\\evil.example)",
    "<javascript:alert(1)>",
    "[x]: javascript:alert(1)\n\n[x]",
    '[x](https://a.example "onmouseover=alert(1)")',
    '[x](https://a.example/"onmouseover="alert(1))',
    "[![x](javascript:alert(1))](javascript:alert(2))",
    "`<script>alert(1)</script>`",
    "```html onload=alert(1)\n<script>alert(1)</script>\n```",
    '~~~"><script>alert(1)</script>\n~~~',
    "| a |\n|---|\n| <img src=x onerror=alert(1)> |",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;img src=x onerror=alert(1)&#62;",
    "</p></div></body><script>alert(1)</script>",
    "<" * 5000,
    "[" * 5000 + "](javascript:x)",
]


@pytest.mark.parametrize("text", VECTORS)
def test_nothing_in_it_can_act(text: str) -> None:
    """Only harmless elements are left, no handlers, and links lead to web and mail alone."""
    reader = read(to_html(text))
    assert reader.tags <= ALLOWED
    for name, value in reader.attributes:
        assert name in {"href", "title", "rel", "start"}
        if name == "href":
            assert (value or "").lower().startswith(("http://", "https://", "mailto:"))
        if name == "rel":
            assert value == "noopener noreferrer nofollow"


def test_markdown_is_shown_as_meant() -> None:
    """Emphasis, lists, code, quotations, tables and links."""
    html = to_html(
        "# Title\n\n*a* **b** ~~c~~ `d<e>`\n\n- one\n- two\n\n> said\n\n"
        "| h |\n|---|\n| v |\n\n[site](https://example.com) <mailto:kim@example.com>\n\n3. three"
    )
    for part in (
        "<h1>Title</h1>",
        "<em>a</em> <strong>b</strong> <s>c</s> <code>d&lt;e&gt;</code>",
        "<li>one</li>",
        "<blockquote>",
        "<td>v</td>",
        '<a href="https://example.com" rel="noopener noreferrer nofollow">site</a>',
        'href="mailto:kim@example.com"',
        '<ol start="3">',
    ):
        assert part in html
    assert to_html("<b>bold</b>") == "<p>&lt;b&gt;bold&lt;/b&gt;</p>\n"
    cat = to_html("![a cat](https://example.com/cat.png)")
    assert 'href="https://example.com/cat.png"' in cat
    assert ">a cat</a>" in cat


def test_mentions_are_found_where_people_write_them() -> None:
    """In lower case and once each, not within code, and no plain address is one."""
    text = (
        "@Ana@Example.com and *@ben_b@example.com*, again @ana@example.com; write to "
        "kim@example.com or x@@no@example.com (@chloe@support.example.com.)\n\n"
        "- @deepak@example.com\n\n`@elif@example.com`\n\n    @femi@example.com\n\n"
        "```\n@gus@example.com\n```"
    )
    assert mentions(text) == (
        "ana@example.com",
        "ben_b@example.com",
        "chloe@support.example.com",
        "deepak@example.com",
    )
    assert mentions("@here @ana and @ana@localhost") == ()
