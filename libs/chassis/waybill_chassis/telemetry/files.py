"""Telemetry without a collector: OTLP JSON lines in files of bounded size.

One line is one export request, as the OTLP file exporter specification has it: ids in hex,
64-bit integers as strings, enumerations as numbers, names in lowerCamelCase.
"""

import fcntl
import io
import json
import os
import threading
from collections.abc import Sequence
from functools import lru_cache
from json.encoder import encode_basestring as _text
from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind
from opentelemetry.util.types import AnyValue

MAX_BYTES = 32 * 1024 * 1024
KEPT = 2
"""Files that stay behind the one being written."""

_ID_LENGTH = 36
_KINDS = {
    SpanKind.INTERNAL: 1,
    SpanKind.SERVER: 2,
    SpanKind.CLIENT: 3,
    SpanKind.PRODUCER: 4,
    SpanKind.CONSUMER: 5,
}


class RotatingLines(io.TextIOBase):
    """A file to append lines to, shared by processes, renamed to `.1`, `.2` when it is full."""

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES, kept: int = KEPT) -> None:
        """Write to `path`; at most `kept` + 1 files of about `max_bytes` bytes stay."""
        self._path = path
        self._max_bytes = max_bytes
        self._kept = kept
        self._lock = threading.Lock()

    def write(self, text: str) -> int:
        """Append `text`, which ends in a newline, as a whole."""
        data = text.encode()
        with self._lock:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # Whoever holds this lock may rename; a replica may have renamed before.
            with open(self._path.with_name(self._path.name + ".lock"), "ab") as guard:
                fcntl.flock(guard, fcntl.LOCK_EX)
                self._rotate(len(data))
                with open(self._path, "ab", buffering=0) as file:
                    file.write(data)
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""

    def _rotate(self, coming: int) -> None:
        try:
            size = os.stat(self._path).st_size
        except FileNotFoundError:
            return
        if size + coming <= self._max_bytes or size == 0:
            return
        for number in range(self._kept, 0, -1):
            older = self._path.with_name(f"{self._path.name}.{number}")
            newer = self._path.with_name(f"{self._path.name}.{number - 1}")
            source = self._path if number == 1 else newer
            if source.exists():
                source.replace(older)


def _value(value: AnyValue) -> str:
    if isinstance(value, str):
        return f'{{"stringValue":{_text(value)}}}'
    if isinstance(value, bool):
        return f'{{"boolValue":{"true" if value else "false"}}}'
    if isinstance(value, int):
        return f'{{"intValue":"{value}"}}'
    if isinstance(value, float):
        return f'{{"doubleValue":{json.dumps(value)}}}'
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return f'{{"arrayValue":{{"values":[{",".join(_value(item) for item in value)}]}}}}'
    return f'{{"stringValue":{_text(str(value))}}}'


@lru_cache(maxsize=1024)
def _known(key: str, value: str) -> str:
    return f'{{"key":{_text(key)},"value":{{"stringValue":{_text(value)}}}}}'


def _attribute(key: str, value: AnyValue) -> str:
    # Most spans of a process have most of their short texts in common, and their statements.
    if isinstance(value, str) and (len(value) < _ID_LENGTH or key == "db.query.text"):
        return _known(key, value)
    return f'{{"key":{_text(key)},"value":{_value(value)}}}'


def _attributes(attributes: Any) -> str:
    if not attributes:
        return "[]"
    return f"[{','.join([_attribute(key, value) for key, value in attributes.items()])}]"


def _span(span: ReadableSpan) -> str:
    context, parent = span.get_span_context(), span.parent
    assert context is not None
    remote = 0x300 if parent is not None and parent.is_remote else 0x100
    more = ""
    if parent is not None:
        more += f',"parentSpanId":"{parent.span_id:016x}"'
    if context.trace_state:
        more += f',"traceState":{_text(context.trace_state.to_header())}'
    if span.links:
        links = [
            f'{{"traceId":"{link.context.trace_id:032x}","spanId":"{link.context.span_id:016x}",'
            f'"attributes":{_attributes(link.attributes)}}}'
            for link in span.links
        ]
        more += f',"links":[{",".join(links)}]'
    if span.events:
        events = [
            f'{{"timeUnixNano":"{event.timestamp}","name":{_text(event.name)},'
            f'"attributes":{_attributes(event.attributes)}}}'
            for event in span.events
        ]
        more += f',"events":[{",".join(events)}]'
    status = []
    if span.status.status_code.value:
        status.append(f'"code":{span.status.status_code.value}')
    if span.status.description:
        status.append(f'"message":{_text(span.status.description)}')
    return (
        f'{{"traceId":"{context.trace_id:032x}","spanId":"{context.span_id:016x}",'
        f'"flags":{remote | context.trace_flags},"name":{_text(span.name)},'
        f'"kind":{_KINDS[span.kind]},"startTimeUnixNano":"{span.start_time}",'
        f'"endTimeUnixNano":"{span.end_time}","attributes":{_attributes(span.attributes)}'
        f'{more},"status":{{{",".join(status)}}}}}'
    )


def encode(spans: Sequence[ReadableSpan]) -> str:
    """Spans as an OTLP JSON request, written as text: the library's encoder takes far longer."""
    # By identity: a resource's own hash writes it out as JSON.
    groups: dict[tuple[int, int], list[ReadableSpan]] = {}
    for span in spans:
        at = id(span.resource), id(span.instrumentation_scope)
        groups.setdefault(at, []).append(span)
    resources = []
    for group in groups.values():
        scope, texts = group[0].instrumentation_scope, [_span(span) for span in group]
        resources.append(
            f'{{"resource":{{"attributes":{_attributes(group[0].resource.attributes)}}},'
            f'"scopeSpans":[{{"scope":{{"name":{_text(scope.name if scope else "")}}},'
            f'"spans":[{",".join(texts)}]}}]}}'
        )
    return f'{{"resourceSpans":[{",".join(resources)}]}}'


class FileSpanExporter(SpanExporter):
    """Writes spans as OTLP JSON lines."""

    def __init__(self, lines: RotatingLines) -> None:
        """Write to `lines`."""
        self._lines = lines

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write one line; a disk that is full costs the spans, never the service."""
        try:
            self._lines.write(encode(spans) + "\n")
        except OSError:
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Nothing is held back."""
        return True
