"""The small pages behind the links in mails: plain HTML, no script, everything escaped."""

from html import escape

from starlette.responses import HTMLResponse

from waybill_intake.domain.ticket import Ticket
from waybill_intake.domain.words import ActionKind, Status

_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Robots-Tag": "noindex",
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
        "frame-ancestors 'none'; base-uri 'none'"
    ),
}
_STYLE = """
body{font:17px/1.5 system-ui,sans-serif;max-width:34rem;margin:12vh auto;padding:0 1.2rem;
color:#1d2329}h1{font-size:1.4rem}p.about{color:#5b6875}button{font:inherit;font-weight:600;
padding:.6rem 1.2rem;border:0;border-radius:6px;background:#0b62b8;color:#fff}
textarea{font:inherit;width:100%;box-sizing:border-box}label{margin-right:.9rem}
fieldset{border:0;padding:0;margin:1rem 0}
@media(prefers-color-scheme:dark){body{background:#14181d;color:#d7dee6}p.about{color:#93a1af}}
"""

_QUESTIONS = {
    ActionKind.CONFIRM: ("Is it solved?", "Yes, that solved it"),
    ActionKind.REOPEN: ("Is it not solved?", "No, please look again"),
    ActionKind.RATE: ("How was our help?", "Send"),
    ActionKind.UNSUBSCRIBE: ("No more messages about this?", "Send me no more"),
}
_DONE = {
    ActionKind.CONFIRM: "Thank you. We are glad that it is solved.",
    ActionKind.REOPEN: "Thank you for telling us. We will look at it again.",
    ActionKind.RATE: "Thank you for your rating.",
    ActionKind.UNSUBSCRIBE: "You will get no more messages about this.",
}
_NOW = {
    Status.PENDING: "it waits for an agent",
    Status.IN_PROGRESS: "an agent works on it",
    Status.AWAITING_USER: "we wait for your answer",
    Status.RESOLVED: "it counts as solved",
    Status.CLOSED: "it is closed",
}
_SCORES = "".join(
    f'<label><input type="radio" name="score" value="{score}" required> {score}</label>'
    for score in range(1, 6)
)


def question(ticket: Ticket, kind: ActionKind, hint: str = "") -> HTMLResponse:
    """Asks before anything is done: only the button acts, since mail scanners open links."""
    title, button = _QUESTIONS[kind]
    fields = f'<input type="hidden" name="episode" value="{ticket.episode}">'
    if kind is ActionKind.RATE:
        fields += (
            f"<fieldset><legend>From 1 (bad) to 5 (good)</legend>{_SCORES}</fieldset>"
            '<p><label for="comment">In your words, if you like</label>'
            '<textarea id="comment" name="comment" rows="4" maxlength="20000"></textarea></p>'
        )
    form = f'<form method="post">{fields}<p><button type="submit">{button}</button></p></form>'
    words = f"<p>{escape(hint)}</p>" if hint else ""
    return _page(title, f"{words}{_about(ticket)}{form}", 422 if hint else 200)


def done(ticket: Ticket, kind: ActionKind) -> HTMLResponse:
    """Says that it has been done."""
    return _page(_DONE[kind], _about(ticket))


def overtaken(ticket: Ticket) -> HTMLResponse:
    """Says kindly that there is nothing left to do."""
    return _page(
        "There is nothing more to do here",
        f"<p>Things have moved on meanwhile: {_NOW[ticket.status]}.</p>{_about(ticket)}",
    )


def expired() -> HTMLResponse:
    """The link has ended."""
    return _page(
        "This link has expired",
        "<p>Please answer the last message you got from us, or open a new ticket.</p>",
        410,
    )


def unknown() -> HTMLResponse:
    """The link is none of ours."""
    return _page(
        "This link does not work",
        "<p>Perhaps it was cut off: please copy the whole address from the message.</p>",
        404,
    )


def _about(ticket: Ticket) -> str:
    return f'<p class="about">{escape(ticket.number)}: {escape(ticket.title)}</p>'


def _page(title: str, body: str, status: int = 200) -> HTMLResponse:
    return HTMLResponse(
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head>"
        f"<body><h1>{escape(title)}</h1>{body}</body></html>",
        status,
        headers=_HEADERS,
    )
