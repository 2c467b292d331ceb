"""Writes the mails: Jinja2 templates in a sandbox, then MIME."""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from email.header import Header
from email.utils import format_datetime, formataddr, parseaddr
from pathlib import Path
from typing import Any

from jinja2 import FileSystemLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from waybill_notify.domain import UNASKED, Delivery, Template
from waybill_notify.store import Rendered

TEMPLATES = Path(__file__).parent / "templates"
_MOST_SUBJECT = 200
_MOST_LINE = 900
"""A line of a mail ends before 998 characters (RFC 5322)."""
_BREAK = re.compile(r"\r\n|\r|\n")


@dataclass(frozen=True, slots=True)
class Answer:
    """An article that may answer the question, fit for a mail."""

    title: str
    text: str


NO_ANSWER = Answer("", "")
"""The knowledge base was asked and had nothing that was sure enough."""


@dataclass(frozen=True, slots=True)
class Links:
    """The addresses at which the submitter can act; None where there is none."""

    confirm: str | None = None
    reopen: str | None = None
    rate: str | None = None
    unsubscribe: str | None = None


NO_LINKS = Links()


@dataclass(frozen=True, slots=True)
class Source:
    """A template as it is written."""

    name: str
    subject: str
    text: str
    html: str


class Letters:
    """Renders the templates that come with the package."""

    def __init__(self) -> None:
        """Nothing in a template can reach beyond the facts that it is given."""
        self._environment = ImmutableSandboxedEnvironment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=lambda name: name is not None and name.endswith(".html"),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )

    def render(
        self, delivery: Delivery, *, links: Links = NO_LINKS, answer: Answer | None = None
    ) -> Rendered:
        """Write a mail for the first time."""
        found = None if answer is NO_ANSWER else answer
        values: dict[str, Any] = dict(delivery.facts) | {"links": links, "answer": found}
        return Rendered(
            subject=one_line(self._render(delivery.template, "subject.txt", values)),
            text=self._render(delivery.template, "txt", values).strip() + "\n",
            html=self._render(delivery.template, "html", values),
            unsubscribe_url=links.unsubscribe,
        )

    def _render(self, template: str, part: str, values: Mapping[str, Any]) -> str:
        return self._environment.get_template(f"{Template(template)}.{part}").render(values)


def sources() -> list[Source]:
    """All templates as they are written."""

    def read(template: Template, part: str) -> str:
        return (TEMPLATES / f"{template}.{part}").read_text()

    return [
        Source(
            name=str(template),
            subject=read(template, "subject.txt").strip(),
            text=read(template, "txt"),
            html=read(template, "html"),
        )
        for template in Template
    ]


def one_line(text: str) -> str:
    """Text that is safe in a header: no line breaks, nothing invisible, not endless."""
    plain = "".join(char if char.isprintable() else " " for char in text)
    return re.sub(r"\s+", " ", plain).strip()[:_MOST_SUBJECT]


def message(delivery: Delivery, rendered: Rendered, *, mail_from: str) -> bytes:
    """The mail itself, byte for byte the same however often it is made.

    Put together here, since the library's own way takes 3 ms a mail. What stands in a header is
    one line, and the recipient one plain address, before it comes here.
    """
    name, sender = parseaddr(mail_from)
    headers = {
        "From": formataddr((one_line(name), sender)),
        "To": one_line(delivery.recipient),
        "Subject": _encoded(one_line(rendered.subject)),
        "Date": format_datetime(delivery.created_at),
        "Message-ID": one_line(delivery.message_id),
        # Nobody ever sent this id: it only ties the mails of one ticket into a thread.
        "References": f"<ticket.{delivery.ticket_id}@{sender.rpartition('@')[2]}>",
    }
    if delivery.template in UNASKED:
        headers["Auto-Submitted"] = "auto-generated"
    if rendered.unsubscribe_url:
        headers["List-Unsubscribe"] = f"<{one_line(rendered.unsubscribe_url)}>"
    boundary = f"=_{delivery.id.hex}"
    headers |= {
        "MIME-Version": "1.0",
        "Content-Type": f'multipart/alternative; boundary="{boundary}"',
    }
    lines = [f"{name}: {value}" for name, value in headers.items()]
    for subtype, body in (("plain", rendered.text), ("html", rendered.html)):
        lines += ["", f"--{boundary}", *_part(subtype, body)]
    return "\r\n".join([*lines, f"--{boundary}--", ""]).encode()


def _encoded(text: str) -> str:
    return (
        text
        if text.isascii()
        else Header(text, "utf-8", header_name="Subject").encode(linesep="\r\n")
    )


def _part(subtype: str, body: str) -> list[str]:
    lines = _BREAK.split(body.rstrip())
    plain = body.isascii() and all(len(line) <= _MOST_LINE for line in lines)
    if not plain:
        coded = base64.encodebytes("\r\n".join([*lines, ""]).encode())
        lines = coded.decode().split()
    encoding = "7bit" if plain else "base64"
    return [
        f"Content-Type: text/{subtype}; charset=utf-8",
        f"Content-Transfer-Encoding: {encoding}",
        "",
        *lines,
    ]
