"""Every template can be written with and without all that may be missing."""

from dataclasses import replace
from datetime import UTC, datetime
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
    mail = message(about, written, mail_from="Waybill <waybill@example.com>")
    assert mail["From"] == "Waybill <waybill@example.com>"
    assert (mail["Auto-Submitted"] == "auto-generated") == (template in ("receipt", "reminder"))
    assert (mail["List-Unsubscribe"] is not None) == full
    assert bytes(mail) == bytes(message(about, written, mail_from="Waybill <waybill@example.com>"))


def test_all_sources_are_shown() -> None:
    """What an operator reads is what is sent."""
    assert [source.name for source in sources()] == [str(template) for template in Template]


def test_a_header_is_one_line() -> None:
    """Line breaks of any kind, and what cannot be seen, become a space."""
    assert one_line("a\r\nb\u2028c\x00d  e ") == "a b c d e"
    assert len(one_line("x" * 1000)) == 200
