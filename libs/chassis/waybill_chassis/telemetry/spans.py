"""Spans and the context that travels with messages."""

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ALWAYS_ON, ParentBased, Sampler
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
)
from opentelemetry.util import types

from waybill_chassis.events import NO_TRACE, TraceContext
from waybill_chassis.telemetry.discretion import discreet

Attributes = Mapping[str, str | bool | int | float]

_SAMPLED = TraceFlags(TraceFlags.SAMPLED)
_NOT_SAMPLED = TraceFlags(TraceFlags.DEFAULT)
_NO_STATE = TraceState()
_OK = Status(StatusCode.UNSET)
_FAILED = Status(StatusCode.ERROR)
_NOTHING: Attributes = {}
_TRACER = trace.get_tracer("waybill")


class _Recorder:
    """Where finished light spans go. Set by `setup`; before it nothing is recorded."""

    sampler: Sampler | None = None
    processor: SpanProcessor | None = None
    resource: Resource | None = None
    ids: IdGenerator = RandomIdGenerator()
    scope = InstrumentationScope("waybill")


recorder = _Recorder()


def parse(place: TraceContext) -> SpanContext | None:
    """The remote span that `place` names, or None when it names none (W3C Trace Context)."""
    text = place.traceparent
    if text is None or len(text) < 55 or text[2] != "-" or text[35] != "-" or text[52] != "-":
        return None
    if text[:2] == "ff" or (text[:2] == "00" and len(text) != 55):
        return None
    try:
        trace_id, span_id = int(text[3:35], 16), int(text[36:52], 16)
        sampled = int(text[53:55], 16) & TraceFlags.SAMPLED
    except ValueError:
        return None
    if not trace_id or not span_id:
        return None
    state = TraceState.from_header([place.tracestate]) if place.tracestate else _NO_STATE
    return SpanContext(trace_id, span_id, True, _SAMPLED if sampled else _NOT_SAMPLED, state)


def spell(context: SpanContext) -> TraceContext:
    """`context` as the two W3C headers."""
    if not context.is_valid:
        return NO_TRACE
    flags = "01" if context.trace_flags & TraceFlags.SAMPLED else "00"
    state = context.trace_state
    return TraceContext(
        f"00-{context.trace_id:032x}-{context.span_id:016x}-{flags}",
        state.to_header() if state else None,
    )


def current_trace() -> TraceContext:
    """The span that is active here, as it is written into outbox rows and headers."""
    return spell(trace.get_current_span().get_span_context())


def _context_of(place: TraceContext | None, root: bool) -> Context | None:
    if root:
        return Context()
    remote = parse(place) if place is not None else None
    return None if remote is None else trace.set_span_in_context(NonRecordingSpan(remote))


def _links(places: Iterable[TraceContext]) -> list[Link]:
    return [Link(context) for place in places if (context := parse(place)) is not None]


@lru_cache(maxsize=8)
def _follows_parent(sampler: Sampler) -> bool:
    """Whether it does as a remote parent did, so that it need not be asked where there is one."""
    return (
        isinstance(sampler, ParentBased)
        and sampler._remote_parent_sampled is ALWAYS_ON
        and sampler._remote_parent_not_sampled is ALWAYS_OFF
    )


@contextmanager
def within(place: TraceContext) -> Iterator[None]:
    """Make `place` the active span: calls, logs and events in the block belong to it."""
    context = _context_of(place, root=False)
    if context is None:
        yield
        return
    token = otel_context.attach(context)
    try:
        yield
    finally:
        otel_context.detach(token)


@contextmanager
def span(
    name: str,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    parent: TraceContext | None = None,
    root: bool = False,
    links: Sequence[TraceContext] = (),
    attributes: Attributes | None = None,
) -> Iterator[Span]:
    """A span that is active within the block; an exception marks it failed and goes on.

    Its parent is `parent`, else the active span; `root=True` begins a new trace, as what fires
    days later does, with a link back to where it came from.
    """
    with _TRACER.start_as_current_span(
        name,
        context=_context_of(parent, root),
        kind=kind,
        attributes=attributes,
        links=_links(links),
    ) as active:
        yield active


class _Active(NonRecordingSpan):
    """What is active within a light span: the parent of what happens there, exceptions included."""

    def __init__(self, context: SpanContext) -> None:
        super().__init__(context)
        self.events: list[Event] = []

    def is_recording(self) -> bool:
        """What stands below it is worth recording."""
        return True

    def record_exception(
        self,
        exception: BaseException,
        attributes: types.Attributes = None,
        timestamp: int | None = None,
        escaped: bool = False,  # noqa: ARG002 - the library's signature
    ) -> None:
        """Keep it as an event; only what `attributes` say of it is told beside its type."""
        told = {"exception.type": type(exception).__qualname__, **(attributes or {})}
        self.events.append(Event("exception", told, timestamp))


class LightSpan:
    """A span for hot paths: active only if asked for, a third of the cost of a full one."""

    __slots__ = (
        "_active",
        "_attributes",
        "_context",
        "_kind",
        "_links",
        "_name",
        "_parent",
        "_start",
        "_trace",
    )

    def __init__(
        self,
        name: str,
        kind: SpanKind,
        parent: TraceContext | SpanContext | None,
        links: Sequence[TraceContext],
        attributes: Attributes,
    ) -> None:
        """Begin the span now; `start_light` says what the arguments mean."""
        self._context: SpanContext | None = None
        self._active: _Active | None = None
        above = parse(parent) if isinstance(parent, TraceContext) else parent
        if recorder.sampler is None:
            # Spelled anew: what somebody wrote into a header may be nothing that can be kept.
            self._trace: TraceContext | SpanContext = NO_TRACE if above is None else above
            return
        known = _links(links) if links else []
        if above is not None and _follows_parent(recorder.sampler):
            trace_id, state, more = above.trace_id, above.trace_state, None
            sampled = bool(above.trace_flags & TraceFlags.SAMPLED)
        else:
            trace_id = recorder.ids.generate_trace_id() if above is None else above.trace_id
            decision = recorder.sampler.should_sample(
                Context() if above is None else trace.set_span_in_context(NonRecordingSpan(above)),
                trace_id,
                name,
                kind,
                attributes,
                known,
            )
            state, more = decision.trace_state or _NO_STATE, decision.attributes
            sampled = decision.decision.is_sampled()
        context = SpanContext(
            trace_id,
            recorder.ids.generate_span_id(),
            False,
            _SAMPLED if sampled else _NOT_SAMPLED,
            state,
        )
        self._trace = context
        if not sampled:
            return
        self._context = context
        self._name = name
        self._kind = kind
        self._parent = above
        self._links = known
        self._attributes = {**attributes, **more} if more else attributes
        self._start = time.time_ns()

    @property
    def trace(self) -> TraceContext:
        """Its place, to be handed to what is emitted on its behalf."""
        if not isinstance(self._trace, TraceContext):
            self._trace = spell(self._trace)
        return self._trace

    def activate(self) -> Context | None:
        """The context in which calls, logs and events belong to it; None if nothing is recorded."""
        if isinstance(self._trace, TraceContext) or recorder.sampler is None:
            return None
        if self._context is None:
            return trace.set_span_in_context(NonRecordingSpan(self._trace))
        self._active = _Active(self._context)
        return trace.set_span_in_context(self._active)

    def end(
        self,
        error: BaseException | None = None,
        more: Attributes = _NOTHING,
        *,
        name: str = "",
        failed: bool = False,
    ) -> None:
        """Finish the span; with an `error` it has failed for that reason.

        `more` are attributes that are known only now, as `name` may be; `failed` is for what
        failed without an exception.
        """
        context, self._context = self._context, None
        if context is None or recorder.processor is None:
            return
        attributes = {**self._attributes, **more} if more else self._attributes
        status = _FAILED if failed else _OK
        if error is not None:
            attributes = {**attributes, "error.type": type(error).__qualname__}
            status = Status(StatusCode.ERROR, discreet(str(error)))
        recorder.processor.on_end(
            ReadableSpan(
                name or self._name,
                context,
                self._parent,
                recorder.resource,
                attributes,
                self._active.events if self._active else (),
                self._links,
                self._kind,
                None,
                status,
                self._start,
                time.time_ns(),
                recorder.scope,
            )
        )


def start_light(
    name: str,
    *,
    kind: SpanKind = SpanKind.INTERNAL,
    parent: TraceContext | None = None,
    links: Sequence[TraceContext] = (),
    attributes: Attributes = _NOTHING,
) -> LightSpan:
    """Begin a light span under `parent`, or a new trace without one. The caller calls `end()`.

    `attributes` must not be changed afterwards.
    """
    return LightSpan(name, kind, parent, links, attributes)


@lru_cache(maxsize=4096)
def _received_from(topic: str, partition: int, group: str) -> tuple[str, Attributes]:
    return f"process {topic}", {
        "messaging.system": "kafka",
        "messaging.operation.type": "process",
        "messaging.operation.name": "process",
        "messaging.destination.name": topic,
        "messaging.destination.partition.id": str(partition),
        "messaging.consumer.group.name": group,
    }


def process_span(
    parent: TraceContext,
    *,
    topic: str,
    partition: int,
    offset: int,
    group: str,
    message_id: str = "",
    type: str = "",
) -> LightSpan:
    """The span in which one received message is handled, below the span that emitted it."""
    name, known = _received_from(topic, partition, group)
    attributes = {
        **known,
        "messaging.kafka.offset": offset,
        "messaging.message.id": message_id,
        "cloudevents.event_type": type,
    }
    return LightSpan(name, SpanKind.CONSUMER, parent, (), attributes)


def timer_span(name: str, armed_by: TraceContext, attributes: Attributes = _NOTHING) -> LightSpan:
    """The span of a timer that fires, maybe days later: a new trace that links back."""
    return LightSpan(name, SpanKind.INTERNAL, None, (armed_by,), attributes)
