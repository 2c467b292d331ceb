"""The outermost layer of an app: bounds what comes in, and turns whatever fails into a document."""

from collections.abc import Callable, Mapping
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from waybill_chassis.failures import problem_of
from waybill_chassis.http.rendering import problem_response
from waybill_chassis.problems import Malformed, Problem, TooLarge

DEFAULT_LIMIT = 1024 * 1024

# A refused body is read to its end, so that whoever still sends gets to see the refusal; one that
# is longer than this, or does not say how long, is not.
_MOST_READ = 16 * 1024 * 1024
_UNREAD = {"Connection": "close"}


def too_large(limit: int, length: int | None = None) -> TooLarge:
    """The refusal of a body of more than `limit` bytes, of which it has `length`."""
    return TooLarge(
        f"The body may have at most {limit} bytes.",
        headers=None if length is not None and length <= _MOST_READ else _UNREAD,
        limit_bytes=limit,
    )


class Guard:
    """ASGI middleware that limits bodies, whether they tell their length or come in chunks."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        limit: int = DEFAULT_LIMIT,
        limits: Mapping[str, int],
        translate: Mapping[type[Exception], Callable[[Any], Problem]],
    ) -> None:
        """Bodies have at most `limit` bytes; `limits` sets others by path prefix."""
        self._app = app
        self._limit = limit
        self._limits = sorted(limits.items(), key=lambda item: -len(item[0]))
        self._translate = translate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, or answer it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            if "\x00" in scope["path"] or b"%00" in scope["query_string"]:
                raise Malformed("The address holds a NUL character.")
            await self._app(scope, self._bounded(scope, receive), sending)
        except ClientDisconnect:
            return
        except Exception as error:
            problem = problem_of(error, self._translate)
            if started:
                raise
            await problem_response(problem, scope["path"])(scope, receive, send)

    def _bounded(self, scope: Scope, receive: Receive) -> Receive:
        path = scope["path"]
        limit = next(
            (size for prefix, size in self._limits if path.startswith(prefix)),
            self._limit,
        )
        length = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
        if length.isdigit() and int(length) > limit:
            raise too_large(limit, int(length))
        received = 0

        async def receiving() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > limit:
                    # The framework lets this kind of exception through unchanged.
                    raise HTTPException(413, too_large(limit).detail, _UNREAD)
            return message

        return receiving
