"""Traces: spans, the context that travels with messages, and where they are written."""

from waybill_chassis.telemetry.spans import current_trace, process_span, span, timer_span, within

__all__ = ["current_trace", "process_span", "span", "timer_span", "within"]
