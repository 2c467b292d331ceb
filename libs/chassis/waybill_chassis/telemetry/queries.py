"""Spans for database statements, below the span of a request.

Without an active span there are none: what works in batches has a span for each message instead,
and a statement for all of them belongs to no single one.
"""

import re
from functools import lru_cache
from typing import Any

from opentelemetry import trace
from opentelemetry.trace import SpanKind
from sqlalchemy import Engine, event
from sqlalchemy.engine import ExceptionContext

from waybill_chassis.telemetry.spans import Attributes, LightSpan

_KEY = "waybill_span"
_WRITES = re.compile(
    r"\b(INSERT INTO|DELETE FROM|(?<!FOR )UPDATE(?! SET\b)) (?:ONLY )?([a-z_][a-z0-9_]*)", re.I
)
_READS = re.compile(r"\bFROM ([a-z_][a-z0-9_]*)\b(?!\()", re.I)
_MOST_TEXT = 2000


def observe_statements() -> None:
    """From now on, on all engines of this process."""
    event.listen(Engine, "before_cursor_execute", _before)
    event.listen(Engine, "after_cursor_execute", _after)
    event.listen(Engine, "handle_error", _failed)


@lru_cache(maxsize=1024)
def _described(statement: str, database: str) -> tuple[str, Attributes]:
    statement = " ".join(statement.split())
    writes = _WRITES.findall(statement)
    if writes:
        operation, table = writes[-1][0].split()[0].upper(), writes[-1][1]
    else:
        reads = _READS.search(statement)
        operation, table = statement.partition(" ")[0].upper(), reads[1] if reads else ""
        operation = "SELECT" if operation == "WITH" else operation
    attributes = {
        "db.system.name": "postgresql",
        "db.namespace": database,
        "db.operation.name": operation,
        "db.query.text": statement[:_MOST_TEXT],
    }
    if table:
        attributes["db.collection.name"] = table
    return f"{operation} {table or database}", attributes


def _before(
    connection: Any, _cursor: Any, statement: str, _parameters: Any, context: Any, _many: bool
) -> None:
    if context is None or not (above := trace.get_current_span()).is_recording():
        return
    name, attributes = _described(statement, connection.engine.url.database or "")
    span = LightSpan(name, SpanKind.CLIENT, above.get_span_context(), (), attributes)
    setattr(context, _KEY, span)


def _after(
    _connection: Any, _cursor: Any, _statement: str, _parameters: Any, context: Any, _many: bool
) -> None:
    found: LightSpan | None = getattr(context, _KEY, None)
    if found is not None:
        found.end()


def _failed(error: ExceptionContext) -> None:
    found: LightSpan | None = getattr(error.execution_context, _KEY, None)
    if found is not None:
        found.end(error.original_exception)
