"""Bad requests to every route of every service: a problem document, and nothing is written."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from waybill_chassis.problems import CONTENT_TYPE

SERVICES = ("intake", "routing", "sla", "notify", "kb")
JSON = "application/json"
PAGES = "/r/"
"""Below this stand pages for people: their refusals are pages too."""

UNKNOWN = "0198c0de-0000-7000-8000-000000000000"
DEEP = 100_000

NAMES = (
    "x",
    UNKNOWN,
    "WB-0",
    f"WB-{'9' * 18}",
    f"WB-{'9' * 400}",
    "wb-\N{ARABIC-INDIC DIGIT THREE}",
    "{" + UNKNOWN + "}",
    "' OR 1=1 --",
    "../../v1/tickets",
    "\N{GRINNING FACE}" * 50,
    "a\x00b",
    "%",
    "-1",
    "null",
    "z" * 4000,
)
"""What stands in a path or a query where an id or a word should."""

RAW = (b"\xed\xa0\x80", b"\xff\xfe")
"""Bytes that are no UTF-8, percent-encoded into the address."""

VALUES: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    10**30,
    2**63,
    1.5,
    "",
    " ",
    "a\x00b",
    "\N{RIGHT-TO-LEFT OVERRIDE}",
    "x" * 300_000,
    [],
    [None],
    ["x"] * 1000,
    {},
    {"x": {"y": ["z"]}},
    UNKNOWN,
)
"""What stands in each field of a body, of whatever type it is."""

BODIES: tuple[tuple[bytes, str | None], ...] = (
    (b"", JSON),
    (b"", None),
    (b"{", JSON),
    (b"null", JSON),
    (b"[]", JSON),
    (b'"text"', JSON),
    (b"7", JSON),
    (b"\xff\xfe\x00", JSON),
    (b"[" * DEEP, JSON),
    (b"[" * DEEP + b"]" * DEEP, JSON),
    (b'{"a":' * DEEP + b"1" + b"}" * DEEP, JSON),
    (b'{"title": "\\ud800"}', JSON),
    (b'{"title": 1e999, "type": NaN}', JSON),
    (b'{"title": ' + b"9" * 5000 + b"}", JSON),
    (b'{"a": 1, "a": 2}', JSON),
    (b"{}", "text/plain"),
    (b"{}", "application/x-www-form-urlencoded"),
    (b"{}", "multipart/form-data; boundary=x"),
    (b"{}", "application/json; charset=utf-16"),
    (b"{}", "\N{LATIN SMALL LETTER A WITH DIAERESIS}"),
    (b'{"title": "' + b"x" * (2 * 1024 * 1024) + b'"}', JSON),
)
"""Bodies that no route takes, with their content type."""

HEADERS: tuple[dict[str, bytes], ...] = (
    {"Idempotency-Key": b""},
    {"Idempotency-Key": b"x" * 256},
    {"Idempotency-Key": b"\xe4\x00"},
    {"If-Match": b"7"},
    {"If-Match": b'"x"'},
    {"If-Match": b'"1", "2"'},
    {"If-Match": b'"' + b"9" * 5000 + b'"'},
    {"Authorization": b"Bearer"},
    {"Authorization": b"Bearer \xff"},
    {"Authorization": b"Bearer a.b.c"},
    {"Authorization": b"Bearer " + b"x" * 9000},
    {"Authorization": b"Basic YTpi"},
    {"traceparent": b"00-xyz", "tracestate": b"\xff"},
    {"Content-Length": b"-1"},
    {"Accept": b"\xff/\x00"},
)


def schema_of(document: Any, schema: Any) -> Any:
    """The schema behind references; of several, the one that is not null."""
    while True:
        if "$ref" in schema:
            schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        elif "anyOf" in schema:
            schema = next(one for one in schema["anyOf"] if one.get("type") != "null")
        else:
            return schema


def sample(document: Any, schema: Any) -> Any:
    """A value that a schema takes: of an object the fields that are required."""
    schema = schema_of(document, schema)
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            fields = schema.get("properties", {})
            return {name: sample(document, fields[name]) for name in schema.get("required", ())}
        case "array":
            return [sample(document, schema["items"])] if "items" in schema else []
        case "integer" | "number":
            return schema.get("minimum", 1)
        case "boolean":
            return True
    if schema.get("format") == "uuid":
        return UNKNOWN
    return "en" if "pattern" in schema else "kim@example.com"


def bad_values(document: Any, schema: Any) -> Iterator[Any]:
    """Values of this shape with one place wrong in each, whatever else may stand there."""
    schema = schema_of(document, schema)
    yield from VALUES
    if schema.get("type") == "array" and "items" in schema:
        yield from ([part] for part in bad_values(document, schema["items"]))
    elif schema.get("properties"):
        yield from bad_bodies(document, schema)


def bad_bodies(document: Any, schema: Any) -> Iterator[dict[str, Any]]:
    """Objects with one field wrong, unknown or missing in each."""
    good = sample(document, schema)
    yield good | {"surprise": 1}
    for name, field in schema_of(document, schema)["properties"].items():
        yield from (good | {name: value} for value in bad_values(document, field))
    for name in good:
        yield {other: value for other, value in good.items() if other != name}


def address(path: str, operation: Any, value: str) -> str:
    """The path with this in the place of its parameter."""
    for parameter in operation.get("parameters", ()):
        if parameter["in"] == "path":
            path = path.replace(f"{{{parameter['name']}}}", value)
    return path


def bad_requests(document: Any, path: str, operation: Any, id: str) -> Iterator[dict[str, Any]]:
    """Requests of one operation with one thing wrong in each; else the path names `id`."""
    url = address(path, operation, id)
    for parameter in operation.get("parameters", ()):
        name = parameter["name"]
        encoded = [quote(value, safe="") for value in NAMES]
        encoded += ["".join(f"%{byte:02X}" for byte in raw) for raw in RAW]
        for value in encoded:
            if parameter["in"] == "path":
                yield {"url": address(path, operation, value)}
            elif parameter["in"] == "query":
                yield {"url": f"{url}?{name}={value}"}
    for headers in HEADERS:
        yield {"url": url, "headers": headers}
    content = operation.get("requestBody", {}).get("content", {})
    for body, kind in BODIES:
        yield {
            "url": url,
            "content": body,
            "headers": {"Content-Type": kind.encode()} if kind else {},
        }
    if JSON in content:
        for value in bad_bodies(document, content[JSON]["schema"]):
            yield {
                "url": url,
                "content": json.dumps(value).encode(),
                "headers": {"Content-Type": JSON},
            }


def operations(document: Any) -> list[tuple[str, str, Any]]:
    """Each path with each of its methods."""
    return [
        (path, method, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def wrong(response: Any, path: str) -> str | None:
    """What is wrong with an answer, if anything is."""
    status, kind = response.status_code, response.headers.get("content-type", "")
    if status < 400 or (path.startswith(PAGES) and status < 500 and kind.startswith("text/html")):
        return None
    if status >= 500 and status != 503:
        return f"status {status}"
    if kind != CONTENT_TYPE:
        return f"content type {kind}"
    found = response.json()
    if not {"type", "title", "status", "detail"} <= found.keys() or found["status"] != status:
        return "no whole problem document"
    if status == 503 and "peer" not in found:
        return "503, though nothing of its own is away"
    if status == 422 and not all(error["message"] for error in found.get("errors", ())):
        return "a field without a word of what would be right"
    return None


@pytest.mark.parametrize("name", SERVICES)
async def test_no_request_breaks_a_route(name: str, scene: Any) -> None:
    """Whatever is sent, the answer is a problem document, and what is refused leaves no trace."""
    faults: list[str] = []
    async with scene(name) as there:
        document = await there.ask("GET", "/openapi.json")
        caller = there.token("admin", sub="ana@example.com") | {"If-Match": "*"}
        for path, method, operation in operations(document):
            before = await there.kept()
            id = there.id_in(path) or UNKNOWN
            for request in bad_requests(document, path, operation, id):
                headers = caller | {"Idempotency-Key": str(uuid4())} | request.pop("headers", {})
                async with asyncio.timeout(20):
                    response = await there.service.client.request(
                        method.upper(), headers=headers, **request
                    )
                fault = wrong(response, path)
                after = before
                if response.status_code >= 400 or method != "get":
                    after = await there.kept()
                if response.status_code >= 400 and after != before:
                    changed = [table for table in after if after[table] != before[table]]
                    fault = f"status {response.status_code}, but it changed {changed}"
                before = after
                if fault:
                    shown = {part: str(value)[:150] for part, value in request.items()}
                    faults.append(f"{method} {fault}: {shown} -> {response.text[:300]}")
    assert not faults, "\n".join([f"{len(faults)} faults", *faults[:40]])
