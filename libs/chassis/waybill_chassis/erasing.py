"""Forgetting a person in the tables that all services share: what waits there to be told.

Rows of the outbox live for milliseconds, unless the broker is away or refuses them; answers that
are kept for an `Idempotency-Key` live for a day. Both may hold what a person wrote. Events keep
their place and number, so that their readers see no gap; only the words are taken out.
"""

import hashlib
import json
import re
from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message
from sqlalchemy import text
from waybill.common.v1.dead_letter_pb2 import DeadLetter

from waybill_chassis.database import UnitOfWork
from waybill_chassis.events import JSON
from waybill_chassis.problems import CONTENT_TYPE

ERASED = "(erased)"

WORDS = frozenset(
    {
        "after",
        "before",
        "body",
        "comment",
        "custom_fields",
        "description",
        "external_ref",
        "filename",
        "order_refs",
        "reason",
        "title",
        "why",
    }
)
"""The fields, of any contract, that may hold words of the person a ticket is for."""

_WAITING = text(
    """
    SELECT position, aggregateid, type, payload, content_type FROM outbox
    WHERE type <> 'waybill.intake.v1.PersonErased' AND (
        aggregateid = ANY(CAST(:ids AS text[]))
        OR EXISTS (SELECT FROM unnest(CAST(:traces AS bytea[])) AS trace
                   WHERE position(trace IN payload) > 0))
    ORDER BY position FOR UPDATE
    """
)
_REWRITE = text(
    """
    UPDATE outbox SET payload = n.payload
    FROM unnest(CAST(:positions AS bigint[]), CAST(:payloads AS bytea[])) AS n (position, payload)
    WHERE outbox.position = n.position
    """
)
# Repeated, the request is told what became of its effect; it must not have it anew.
_FORGET_ANSWERS = text(
    """
    WITH kept AS MATERIALIZED (
        SELECT scope, key, body, CASE WHEN headers ->> 'content-type' LIKE 'application/json%'
            AND status < 300 THEN CAST(convert_from(body, 'UTF8') AS jsonb) END AS answer
        FROM idempotency_keys WHERE body IS NOT NULL
    )
    UPDATE idempotency_keys AS k
    SET status = 410, body = CAST(:gone AS bytea),
        headers = jsonb_build_object('content-type', CAST(:problem AS text))
    FROM kept WHERE k.scope = kept.scope AND k.key = kept.key AND (
        starts_with(k.scope, :who)
        OR kept.answer ->> 'id' = ANY(CAST(:ids AS text[]))
        OR kept.answer ->> 'ticket_id' = ANY(CAST(:ids AS text[]))
        OR EXISTS (SELECT FROM unnest(CAST(:traces AS bytea[])) AS trace
                   WHERE position(trace IN kept.body) > 0)
    )
    """
)
_GONE = json.dumps(
    {
        "type": "urn:waybill:problem:gone",
        "title": "Gone",
        "status": 410,
        "detail": "What this Idempotency-Key once did has been erased.",
    }
).encode()


async def forget(
    uow: UnitOfWork, *, email: str, name: str, ticket_ids: Collection[UUID | str]
) -> None:
    """Take a person out of events that wait to be published, and out of answers that are kept.

    Of events about `ticket_ids` all words go, of others the address and the name.
    """
    ids = sorted(map(str, ticket_ids))
    traces = traces_of(email, name)
    if not ids and not traces:
        return
    known = {"ids": ids, "traces": [trace.encode() for trace in traces]}
    waiting = (await uow.execute(_WAITING, known)).all()
    pattern = pattern_of(traces)
    changed = {
        row.position: new
        for row in waiting
        if (new := _without(row, pattern, of_theirs=row.aggregateid in ids)) != row.payload
    }
    if changed:
        await uow.execute(
            _REWRITE, {"positions": list(changed), "payloads": list(changed.values())}
        )
    who = hashlib.sha256(email.encode()).hexdigest() + ":"
    await uow.execute(_FORGET_ANSWERS, known | {"who": who, "gone": _GONE, "problem": CONTENT_TYPE})


def traces_of(email: str, name: str) -> list[str]:
    """The address and the name of a person, as far as they are known."""
    return [trace for trace in (email.strip(), name.strip()) if trace]


def pattern_of(traces: Sequence[str]) -> re.Pattern[str] | None:
    """What finds these as whole words; None for none."""
    if not traces:
        return None
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, traces))})(?!\w)", re.IGNORECASE)


def _without(row: Any, pattern: re.Pattern[str] | None, *, of_theirs: bool) -> bytes:
    payload = bytes(row.payload)
    if row.content_type == JSON:
        try:
            content = _plain(json.loads(payload), pattern, of_theirs)
        except ValueError:
            return b"{}"
        return json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
    return without(payload, row.type, pattern, of_theirs=of_theirs)


def without(
    payload: bytes, type: str, pattern: re.Pattern[str] | None, *, of_theirs: bool = False
) -> bytes:
    """An event's bytes without the person; nothing of one that nobody can read any more."""
    try:
        kind = message_factory.GetMessageClass(
            descriptor_pool.Default().FindMessageTypeByName(type)
        )
        message = kind.FromString(payload)
    except (KeyError, DecodeError):
        return b""
    scrub(message, pattern, of_theirs=of_theirs)
    return message.SerializeToString()


def scrub(message: Message, pattern: re.Pattern[str] | None, *, of_theirs: bool) -> None:
    """Take the person out of a message: with `of_theirs` all words, else only their traces."""
    if isinstance(message, DeadLetter):
        theirs = of_theirs or _names(message.value, pattern)
        if theirs:
            message.value = without(message.value, message.event_type, pattern, of_theirs=True)
    for field, value in list(message.ListFields()):
        if of_theirs and field.name in WORDS and field.enum_type is None:
            message.ClearField(field.name)
        elif field.message_type is not None:
            if field.message_type.GetOptions().map_entry:
                value = value.values()  # noqa: PLW2901 - of a map the values count
            for inner in value if field.is_repeated else (value,):
                if isinstance(inner, Message):
                    scrub(inner, pattern, of_theirs=of_theirs)
        elif field.type == field.TYPE_STRING and pattern is not None:
            if field.is_repeated:
                value[:] = [pattern.sub(ERASED, one) for one in value]
            else:
                setattr(message, field.name, _short(pattern, value))


def _names(value: bytes, pattern: re.Pattern[str] | None) -> bool:
    return pattern is not None and pattern.search(value.decode(errors="replace")) is not None


def _plain(value: Any, pattern: re.Pattern[str] | None, of_theirs: bool) -> Any:
    if isinstance(value, dict):
        return {
            name: _plain(inner, pattern, of_theirs)
            for name, inner in value.items()
            if not (of_theirs and name in WORDS)
        }
    if isinstance(value, list):
        return [_plain(inner, pattern, of_theirs) for inner in value]
    return _short(pattern, value) if isinstance(value, str) and pattern else value


def _short(pattern: re.Pattern[str], value: str) -> str:
    """The text without the person; a field that held nothing else is empty."""
    return "" if pattern.fullmatch(value) else pattern.sub(ERASED, value)
