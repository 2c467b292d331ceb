"""Readable pages of the API and of the events, which need neither scripts nor the network."""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;
color:#1d2329}
h1{font-size:1.6rem}h2{font-size:1.05rem;margin:2rem 0 .3rem;border-top:1px solid #dde3ea;
padding-top:1rem}
code{font:13px ui-monospace,monospace;background:#f2f5f8;padding:.1em .3em;border-radius:3px}
table{border-collapse:collapse;width:100%;margin:.5rem 0}td,th{text-align:left;vertical-align:top;
padding:.25rem .6rem .25rem 0;border-bottom:1px solid #eef1f5}th{font-weight:600;color:#5b6875}
.method{display:inline-block;min-width:4rem;font-weight:700;color:#0b62b8}p{margin:.3rem 0}
@media(prefers-color-scheme:dark){body{background:#14181d;color:#d7dee6}code{background:#222932}
h2,td,th{border-color:#2b333d}.method{color:#6db3ff}}
"""
_DEPTH = 3


def openapi_page(document: Mapping[str, Any], *, events: bool) -> str:
    """An OpenAPI document as HTML."""
    links = '<a href="/openapi.json">openapi.json</a>'
    if events:
        links += ' · <a href="/docs/events">events</a>'
    parts = [_intro(document, links)]
    for path, operations in document.get("paths", {}).items():
        for method, operation in operations.items():
            parts.append(
                f'<h2><span class="method">{escape(method.upper())}</span> '
                f"<code>{escape(path)}</code></h2>"
                f"<p>{escape(operation.get('description') or operation.get('summary', ''))}</p>"
            )
            rows = [
                (
                    item["name"],
                    f"{item['in']}{', required' if item.get('required') else ''}",
                    _kind(item.get("schema", {}), document),
                    item.get("description", ""),
                )
                for item in operation.get("parameters", [])
            ]
            parts.append(_table(("parameter", "where", "kind", ""), rows))
            for media, body in operation.get("requestBody", {}).get("content", {}).items():
                fields = list(_fields(body.get("schema", {}), document))
                parts.append(f"<p>Body <code>{escape(media)}</code></p>")
                parts.append(_table(("field", "", "kind", ""), fields))
            answers = [
                (status, answer.get("description", ""), _answer(answer, document), "")
                for status, answer in operation.get("responses", {}).items()
            ]
            parts.append(_table(("answer", "", "kind", ""), answers))
    return _page(document, "".join(parts))


def asyncapi_page(document: Mapping[str, Any]) -> str:
    """An AsyncAPI 3 document as HTML."""
    parts = [_intro(document, '<a href="/docs/events.json">events.json</a>')]
    actions: dict[str, set[str]] = {}
    for operation in document.get("operations", {}).values():
        target = str(operation.get("channel", {}).get("$ref", "")).rpartition("/")[2]
        actions.setdefault(target, set()).add(operation.get("action", ""))
    for name, channel in document.get("channels", {}).items():
        doing = " and ".join(sorted(actions.get(name.replace("/", "~1"), actions.get(name, set()))))
        parts.append(
            f'<h2><span class="method">{escape(doing or "topic")}</span> '
            f"<code>{escape(str(channel.get('address') or name))}</code></h2>"
            f"<p>{escape(channel.get('description', ''))}</p>"
        )
        for key, reference in channel.get("messages", {}).items():
            message = _resolved(reference, document)
            title = message.get("title") or message.get("name") or key
            parts.append(
                f"<p><code>{escape(str(title))}</code> "
                f"{escape(message.get('summary') or message.get('description', ''))}</p>"
            )
            parts.append(
                _table(
                    ("field", "", "kind", ""),
                    list(_fields(message.get("payload", {}), document)),
                )
            )
    return _page(document, "".join(parts))


def _intro(document: Mapping[str, Any], links: str) -> str:
    info = document.get("info", {})
    return (
        f"<h1>{escape(info.get('title', ''))}</h1><p>{escape(info.get('description') or '')}</p>"
        f"<p>{links}</p>"
    )


def _page(document: Mapping[str, Any], body: str) -> str:
    title = escape(document.get("info", {}).get("title", ""))
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body>{body}</body></html>"
    )


def _table(head: tuple[str, ...], rows: list[tuple[str, str, str, str]]) -> str:
    if not rows:
        return ""
    cells = "".join(f"<th>{escape(name)}</th>" for name in head)
    lines = "".join(
        f"<tr><td><code>{escape(first)}</code></td>"
        + "".join(f"<td>{escape(str(cell))}</td>" for cell in rest)
        + "</tr>"
        for first, *rest in rows
    )
    return f"<table><tr>{cells}</tr>{lines}</table>"


def _resolved(node: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    for _ in range(8):
        reference = node.get("$ref")
        if not isinstance(reference, str) or not reference.startswith("#/"):
            break
        found: Any = document
        for part in reference[2:].split("/"):
            name = part.replace("~1", "/").replace("~0", "~")
            found = found.get(name, {}) if isinstance(found, Mapping) else {}
        node = found
    return node


def _fields(
    schema: Mapping[str, Any],
    document: Mapping[str, Any],
    prefix: str = "",
    depth: int = 0,
) -> Iterator[tuple[str, str, str, str]]:
    schema = _resolved(schema, document)
    for option in schema.get("anyOf", ()):
        yield from _fields(option, document, prefix, depth)
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        yield (
            prefix + name,
            "required" if name in required else "",
            _kind(field, document),
            _resolved(field, document).get("description", ""),
        )
        if depth < _DEPTH:
            inner = field.get("items", field)
            yield from _fields(inner, document, f"{prefix}{name}.", depth + 1)


def _kind(schema: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    schema = _resolved(schema, document)
    if options := schema.get("anyOf") or schema.get("oneOf"):
        return " or ".join(dict.fromkeys(_kind(option, document) for option in options))
    if values := schema.get("enum"):
        return ", ".join(str(value) for value in values)
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}), document)}"
    return str(schema.get("format") or schema.get("type") or "any")


def _answer(answer: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    for media, content in answer.get("content", {}).items():
        schema = _resolved(content.get("schema", {}), document)
        return f"{media} {schema.get('title', '')}".strip()
    return ""
