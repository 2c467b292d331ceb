"""Documents that may name one another: shown to the service at once, and written all or none."""

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import httpx
import typer

from waybill_cli import api
from waybill_cli.apply.kinds import AGREEMENTS, Document, Joint, Refused, Spec, State, ask

NOTHING = State(None, "", "")
"""How a document stands that is not to be written."""

_PLACE = re.compile(r"(\w+)\.(\d+)(?:\.(.*))?")
_PAUSE_SECONDS = 0.5

Sent = Sequence[tuple[Document, State]]


def is_joint(document: Document) -> bool:
    """Whether it is checked and written with others."""
    return isinstance(document.kind, Joint)


def go_together(one: Document, other: Document) -> bool:
    """Whether they are checked and written at once."""
    return is_joint(one) and is_joint(other) and _kind(one).at == _kind(other).at


def by_place(documents: Sent) -> list[Sent]:
    """Those that are checked and written with others, by where they are sent."""
    places: dict[str, list[tuple[Document, State]]] = {}
    for document, state in documents:
        if is_joint(document):
            places.setdefault(_kind(document).at, []).append((document, state))
    return list(places.values())


def is_agreed(document: Document) -> bool:
    """Whether it belongs to what sla agrees on."""
    return is_joint(document) and _kind(document).at == AGREEMENTS


def place_of(documents: Sent) -> str:
    """Where they are sent; they are all of one place."""
    return _kind(documents[0][0]).at


def check(
    gateway: httpx.Client, documents: Sent, faults: list[str], *, redate: bool
) -> tuple[list[Spec], int] | None:
    """Their specs as the service spells them, and how many open clocks would be gone through.

    None when there is something wrong with one: that is added to the faults.
    """
    query = f"?dry_run=true&redate={str(redate).lower()}"
    answer = answered(gateway, place_of(documents) + query, _body(documents), documents, faults)
    if answer is None:
        return None
    answers = {part: iter(answer[part]) for part in {_kind(one).part for one, _ in documents}}
    specs = [
        _kind(document).given(next(answers[_kind(document).part])) for document, _ in documents
    ]
    return specs, answer.get("redating", 0)


def write(gateway: httpx.Client, documents: Sent, *, redate: bool) -> int:
    """All of them or none; how many open clocks are gone through. Raises `Refused`."""
    faults: list[str] = []
    path = f"{place_of(documents)}?redate={str(redate).lower()}"
    answer = answered(gateway, path, _body(documents), documents, faults)
    if answer is None:
        raise Refused(faults)
    redating: int = answer.get("redating", 0)
    return redating


def answered(
    gateway: httpx.Client,
    path: str,
    body: Mapping[str, Any],
    documents: Sent,
    faults: list[str],
) -> Any:
    """What the service says to all of them, or None when something is wrong with one."""
    try:
        answer = gateway.post(path, json=body, timeout=60)
    except httpx.HTTPError as error:
        raise api.Away(
            f"{gateway.base_url}{path} does not answer: {type(error).__name__}"
        ) from error
    if answer.is_success:
        return answer.json()
    if answer.status_code in (502, 503, 504):
        raise api.Away(api.detail(answer))
    try:
        errors = answer.json()["errors"]
        faults += [_placed(one["field"], one["message"], documents) for one in errors]
    except (ValueError, KeyError, TypeError):
        faults.append(f"together: {api.detail(answer)}")
    return None


def body_of(documents: Sequence[Document]) -> dict[str, Any]:
    """What is sent of documents, in their parts."""
    parts: dict[str, Any] = {}
    for document in documents:
        parts.setdefault(_kind(document).part, []).append({**document.names, **document.spec})
    return parts


def _body(documents: Sent) -> dict[str, Any]:
    """The same, to be written only if each still stands as it was read."""
    parts = body_of([document for document, _ in documents])
    versions: dict[str, list[int]] = {}
    for document, state in documents:
        version = int(state.etag.strip('"')) if state.spec is not None else 0
        versions.setdefault(_kind(document).part, []).append(version)
    return {
        part: [
            one | {"version": version} for one, version in zip(found, versions[part], strict=True)
        ]
        for part, found in parts.items()
    }


def _placed(field: str, message: str, documents: Sent) -> str:
    """What is wrong, with the document that it is in."""
    found = _PLACE.fullmatch(field)
    if found is None:
        return f"{field} {message}".strip()
    part, place, inner = found.groups()
    mine = [document for document, _ in documents if _kind(document).part == part]
    document = mine[int(place)]
    if inner in document.names or (inner or "").startswith("version"):
        return document.fault(f"{inner} {message}")
    return document.fault(f"spec.{inner} {message}" if inner else message)


def _kind(document: Document) -> Joint:
    assert isinstance(document.kind, Joint)
    return document.kind


def follow(gateway: httpx.Client) -> Iterator[str]:
    """How far open clocks have been gone through, a line each time that it has come further."""
    said = ""
    while True:
        open_ones = [
            one
            for one in ask(gateway, "GET", "/v1/sla/redating?limit=100").json()["items"]
            if one["ended_at"] is None
        ]
        if not open_ones:
            yield "all open clocks are done"
            return
        line = ", ".join(
            f"{one['calendar'] or one['policy'] or one['ladder']}: {one['done']} of {one['total']}"
            for one in open_ones
        )
        if line != said:
            yield f"gone through  {line}"
            said = line
        time.sleep(_PAUSE_SECONDS)


def show_progress(gateway: httpx.Client) -> None:
    """Print it; it goes on without whoever looks on."""
    for line in follow(gateway):
        typer.echo(line)
