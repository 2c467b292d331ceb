"""Server-sent events: answers without an end, which end all the same when they have to.

Each event has an id once nothing before it is missing any more: whoever comes back with the last
one (`Last-Event-ID`) goes on from there.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Annotated, Any, Generic, TypeVar

import structlog
from fastapi import Header, Request
from fastapi.sse import EventSourceResponse, format_sse_event
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import Response

from waybill_chassis import auth
from waybill_chassis.http.rendering import render
from waybill_chassis.http.state import equipment_of
from waybill_chassis.problems import Unavailable

P = TypeVar("P")
T = TypeVar("T")

MEDIA_TYPE = "text/event-stream"
HEARTBEAT_SECONDS = 15.0
"""So often something is said even when there is nothing to say, for whatever stands between."""

_RETRY_MS = 2000
_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

DESCRIBED: dict[str, Any] = {MEDIA_TYPE: {"schema": {"type": "string"}}}
"""What the document says of such an answer; for the `content` of a route's `responses`."""

LastEventId = Annotated[
    str | None,
    Header(alias="Last-Event-ID", max_length=8192, description="The id of the last event read."),
]

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event; `data` is whatever `respond` takes."""

    name: str
    data: Any
    id: str | None = None


def wanted(request: Request) -> bool:
    """Whether the caller asks for a stream."""
    return MEDIA_TYPE in request.headers.get("accept", "")


def stream(request: Request, events: AsyncGenerator[ServerEvent, None]) -> Response:
    """The events as an answer; an event `end` says why, if not the caller ends it.

    It ends when the process stops, and with the caller's token. A caller who reads too slowly
    holds up nobody: `events` is asked for the next one when the last has been sent.
    """
    return EventSourceResponse(_written(request, events), headers=_HEADERS)


async def _written(
    request: Request, events: AsyncGenerator[ServerEvent, None]
) -> AsyncIterator[bytes]:
    token = auth.bearer_token(request.headers.get("authorization"))
    ends = auth.expires_at(token) if token else float("inf")
    stopping: asyncio.Future[Any] = asyncio.ensure_future(
        equipment_of(request).health.stopping.wait()
    )
    following: asyncio.Future[Any] | None = None
    try:
        yield format_sse_event(retry=_RETRY_MS)
        while True:
            left = ends - time.time()
            if stopping.done() or left <= 0:
                yield _bytes(_end("stopping" if stopping.done() else "token_expired"))
                return
            if following is None:
                following = asyncio.ensure_future(anext(events, None))
            await asyncio.wait(
                {following, stopping},
                timeout=min(HEARTBEAT_SECONDS, left),
                return_when=asyncio.FIRST_COMPLETED,
            )
            if following.done():
                event, following = following.result(), None
                if event is None:
                    return
                yield _bytes(event)
            elif not stopping.done():
                yield b":\n\n"
    except (SQLAlchemyError, OSError, Unavailable) as error:
        log.warning("stream_broken_off", error=f"{type(error).__name__}: {error}"[:500])
        yield _bytes(_end("unavailable"))
    finally:
        stopping.cancel()
        if following is not None:
            following.cancel()
            await asyncio.wait({following})
        await events.aclose()


def _bytes(event: ServerEvent) -> bytes:
    return format_sse_event(event=event.name, data_str=render(event.data).decode(), id=event.id)


def _end(reason: str) -> ServerEvent:
    return ServerEvent("end", {"reason": reason})


class Broadcast(Generic[P, T]):
    """One reader for any number of listeners: it asks for news while anybody listens.

    Whoever does not take what is read within `most` rounds is dropped, and may come back.
    """

    def __init__(
        self,
        begin: Callable[[], Awaitable[P]],
        read: Callable[[P], Awaitable[tuple[P, T | None]]],
        *,
        every: float = 1.0,
        most: int = 60,
        listeners: int = 1000,
    ) -> None:
        """`begin` gives the present position, `read` what is new since one, and the next one.

        It is asked every `every` seconds; None is not passed on.
        """
        self._begin = begin
        self._read = read
        self._every = every
        self._most = most
        self._most_listeners = listeners
        self._position: P | None = None
        self._queues: set[asyncio.Queue[tuple[P, T] | None]] = set()
        self._beginning = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    @contextlib.asynccontextmanager
    async def listen(self) -> AsyncIterator[tuple[P, AsyncIterator[tuple[P, T]]]]:
        """A position, and all that is new since then, each with the position after it.

        `Unavailable` when too many listen already.
        """
        if len(self._queues) >= self._most_listeners:
            raise Unavailable("Too many are listening already.")
        queue: asyncio.Queue[tuple[P, T] | None] = asyncio.Queue(self._most + 1)
        async with self._beginning:
            if self._position is None:
                self._position = await self._begin()
            position = self._position
            self._queues.add(queue)
            if self._task is None:
                self._task = asyncio.create_task(self._run(), name="broadcast")
        try:
            yield position, _taken(queue)
        finally:
            self._queues.discard(queue)
            if not self._queues and self._task is not None:
                self._task.cancel()
                self._task = self._position = None

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            assert self._position is not None
            try:
                after, found = await self._read(self._position)
            except Exception as error:  # noqa: BLE001 - whatever failed, the next round is another try
                log.warning("news_not_read", error=f"{type(error).__name__}: {error}"[:500])
                continue
            self._position = after
            if found is not None:
                self._pass_on((after, found))

    def _pass_on(self, news: tuple[P, T]) -> None:
        for queue in list(self._queues):
            queue.put_nowait(news)
            if queue.full():
                self._queues.discard(queue)
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait(None)


async def _taken(queue: "asyncio.Queue[tuple[P, T] | None]") -> AsyncIterator[tuple[P, T]]:
    while (news := await queue.get()) is not None:
        yield news
