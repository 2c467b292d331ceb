"""uvicorn as a part of the process, which owns the signals."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from waybill_chassis.process import StartFailed


class _Uvicorn(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """The process handles them."""
        yield


class _Gathered:
    """A connection to which head and body go in one call: each is dear, it wakes the other side."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._held = b""
        self._call_soon = asyncio.get_running_loop().call_soon

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send it with what comes next, or before the loop waits for anything again."""
        if self._held:
            self._held += data
            self._send()
        elif data:
            self._held = data
            self._call_soon(self._send)

    def close(self) -> None:
        """Send what is held, then close."""
        self._send()
        self._transport.close()

    def _send(self) -> None:
        held, self._held = self._held, b""
        if held and not self._transport.is_closing():
            self._transport.write(held)


class _Protocol(HttpToolsProtocol):
    def connection_made(self, transport: Any) -> None:
        """The protocol writes to `transport` from now on."""
        super().connection_made(_Gathered(transport))  # type: ignore[arg-type]


class HttpServer:
    """Serves an app on one address."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        host: str,
        port: int,
        grace: float = 15.0,
        name: str = "http",
        variable: str = "WAYBILL_<SERVICE>_HTTP_PORT",
    ) -> None:
        """`port` 0 takes a free one. Requests under way may take `grace` seconds at a stop.

        `variable` is named when the port is taken.
        """
        self.name = name
        self.host = host
        self.port = port
        self._variable = variable
        self._task: asyncio.Task[None] | None = None
        self._server = _Uvicorn(
            uvicorn.Config(
                app,
                loop="none",
                http=_Protocol,
                ws="none",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                log_level="warning",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                # Longer than the gateway keeps idle connections: it must never pick one we close.
                timeout_keep_alive=75,
                timeout_graceful_shutdown=max(1, round(grace)),
            )
        )

    async def start(self) -> None:
        """Return when it listens; `StartFailed` when it cannot."""
        listener = await self._listen()
        self.port = listener.getsockname()[1]
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]), name=self.name)
        while not self._server.started:
            await asyncio.wait({self._task}, timeout=0.005)
            if self._task.done():
                self._task.result()

    async def stop(self) -> None:
        """Take no more connections, answer what is under way, return."""
        self._server.should_exit = True
        if self._task is not None:
            await self._task

    async def wait(self) -> None:
        """Return when it serves no more."""
        if self._task is not None:
            await asyncio.wait({self._task})
            self._task.result()

    async def _listen(self) -> socket.socket:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(
                self.host, self.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )
            family, kind, protocol, _, address = found[0]
            listener = socket.socket(family, kind, protocol)
            try:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(address)
                listener.listen(2048)
                listener.setblocking(False)
            except OSError:
                listener.close()
                raise
        except OSError as error:
            raise StartFailed(
                f"{self.name}: cannot listen on {self.host}:{self.port}: {error.strerror or error}"
                f"; stop what is there, or set {self._variable}"
            ) from None
        return listener
