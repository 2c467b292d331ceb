"""Logs: JSON lines on stdout, ours and those of the libraries alike."""

import logging
import sys
import time
from typing import Any

import structlog
from opentelemetry import trace
from structlog.typing import EventDict, Processor, WrappedLogger

from waybill_chassis.telemetry.discretion import discreet_line

_NOISY = (
    "aiokafka",
    "asyncio",
    "faststream",
    "grpc",
    "httpcore",
    "httpx",
    "kafka",
    "opentelemetry",
    "sqlalchemy",
    "uvicorn",
)
"""They tell of every step; we want to hear only of trouble."""

_SAME_SECONDS = 30.0
"""A library that says the same thing again and again is heard this often."""


def configure(service: str, level: str) -> None:
    """Write logs from `level` up: time, level, event, service, and the span they belong to."""
    number = logging.getLevelNamesMapping()[level.upper()]

    def name_service(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event["service"] = service
        return event

    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        name_service,
        _place,
        structlog.processors.format_exc_info,
        discreet_line,
    ]
    render = structlog.processors.JSONRenderer(default=str)
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.addFilter(_Repeated())
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, render],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    for name in _NOISY:
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
        library.setLevel(max(number, logging.WARNING))


def _place(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    context = trace.get_current_span().get_span_context()
    if context.is_valid:
        event.setdefault("trace_id", f"{context.trace_id:032x}")
        event.setdefault("span_id", f"{context.span_id:016x}")
    return event


class _Repeated(logging.Filter):
    """Holds back what a library said a moment ago: it may say it a thousand times."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, Any], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.partition(".")[0] not in _NOISY:
            return True
        key = (record.name, record.msg)
        now = time.monotonic()
        if now - self._said.get(key, -_SAME_SECONDS) < _SAME_SECONDS:
            return False
        if len(self._said) > 1000:
            self._said.clear()
        self._said[key] = now
        return True
