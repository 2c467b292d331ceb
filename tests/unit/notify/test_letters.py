"""Every template can be written with and without all that may be missing."""

from dataclasses import replace
from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default
from uuid import uuid4

import pytest
from waybill_notify.domain import Delivery, State, Template
from waybill_notify.letters import Answer, Letters, Links, message, one_line, sources

NOW = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
FACTS = {
    "number": "WB-7",
    "title": "Café {{ 7 * 7 }} <script>",
    "product": "demo",
    "name": "",
    "language": "",
    "description": "d",
    "body": "Line one\nLine two & more",
    "agent": "Ana",
    "comment": "",
    "close_reason": "auto_closed",
    "reminder": 2,
    "outcome": "planned",
}
ALL = Links("http://g/r/1", "http://g/r/2", "http://g/r/3", "http://g/r/4")


def delivery(template: Template) -> Delivery:
    return Delivery(
        id=uuid4(),
        ticket_id=uuid4(),
        product="demo",
        event_id="e",
        event_type="t",
        event_source="s",
        template=template,
        channel="email",
        recipient="kim@example.org",
        state=State.PENDING,
        attempts=1,
        revived_after=0,
        message_id="<1@example.com>",
        facts=FACTS,
        subject=None,
        text_body=None,
        html_body=None,
        unsubscribe_url=None,
        created_at=NOW,
        waiting_since=NOW,
        updated_at=NOW,
        next_attempt_at=NOW,
        delivered_at=None,
        claim=None,
        last_error="",
        traceparent=None,
        tracestate=None,
    )


@pytest.mark.parametrize("template", list(Template))
@pytest.mark.parametrize("full", [False, True])
def test_every_template_can_be_written(template: Template, full: bool) -> None:
    """Bare and with everything; a ticket's own words are never taken for a template or HTML."""
    about = delivery(template)
    if full:
        about = replace(about, facts=FACTS | {"name": "Kim", "comment": "Done."})
    links = {"links": ALL, "answer": Answer("T", "text")} if full else {}
    written = Letters().render(about, **links)
    assert "[WB-7]" in written.subject
    assert "{{ 7 * 7 }}" in written.subject
    assert "<script>" not in written.html
    assert "WB-7" in written.text
    raw = message(about, written, mail_from="Waybill <waybill@example.com>")
    mail = message_from_bytes(raw, policy=default)
    assert mail.defects == []
    assert mail["Subject"] == written.subject
    for kind, text in (("plain", written.text), ("html", written.html)):
        part = mail.get_body((kind,))
        assert part.get_content().splitlines() == text.splitlines()
    assert mail["From"] == "Waybill <waybill@example.com>"
    assert (mail["Auto-Submitted"] == "auto-generated") == (template in ("receipt", "reminder"))
    assert (mail["List-Unsubscribe"] is not None) == full
    assert raw == message(about, written, mail_from="Waybill <waybill@example.com>")


def test_a_mail_s_lines_are_never_too_long_nor_beyond_ascii() -> None:
    """Whatever somebody wrote, any relay can take it and give it back unchanged."""
    about = replace(delivery(Template.AGENT_REPLY), facts=FACTS | {"title": "ü" * 300})
    for body in ("x" * 5000, "ü" * 5000, ".\r\n.\r\nFrom here\n..", "a\rb"):
        written = Letters().render(replace(about, facts=about.facts | {"body": body}))
        raw = message(about, written, mail_from="Käthe <waybill@example.com>")
        assert raw.isascii()
        assert max(len(line) for line in raw.split(b"\r\n")) < 998
        assert b"\n" not in raw.replace(b"\r\n", b"")
        mail = message_from_bytes(raw, policy=default)
        assert mail["Subject"] == written.subject
        assert str(mail["From"]) == "Käthe <waybill@example.com>"
        lines = mail.get_body(("plain",)).get_content().splitlines()
        assert lines == written.text.splitlines()


def test_all_sources_are_shown() -> None:
    """What an operator reads is what is sent."""
    assert [source.name for source in sources()] == [str(template) for template in Template]


def test_a_header_is_one_line() -> None:
    """Line breaks of any kind, and what cannot be seen, become a space."""
    assert one_line("a\r\nb\u2028c\x00d  e ") == "a b c d e"
    assert len(one_line("x" * 1000)) == 200
