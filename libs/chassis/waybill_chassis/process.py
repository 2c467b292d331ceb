"""The life of a process: parts start in order, run, and stop in reverse."""

import asyncio
import contextlib
import gc
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, NoReturn, Protocol, runtime_checkable

import structlog
import uvloop

from waybill_chassis.health import Health

log = structlog.get_logger(__name__)

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_LEAST_STOP_SECONDS = 1.0


class Part(Protocol):
    """Something that runs in the process: a server, a consumer, a relay."""

    @property
    def name(self) -> str:
        """How the logs call it."""
        ...

    async def start(self) -> None:
        """Return when it runs; raise `StartFailed` with one clear line if it cannot."""
        ...

    async def stop(self) -> None:
        """Finish what was begun and return."""
        ...


@runtime_checkable
class Watched(Protocol):
    """A part that can die by itself."""

    async def wait(self) -> None:
        """Return or raise only when the part has ended."""
        ...


class StartFailed(Exception):
    """A part cannot start, and the message says in one line what would help."""


class Closing:
    """A part that only needs closing, such as a connection pool."""

    def __init__(self, name: str, close: Callable[[], Awaitable[None]]) -> None:
        """`close` is called when the process stops."""
        self.name = name
        self._close = close

    async def start(self) -> None:
        """Nothing to start."""

    async def stop(self) -> None:
        """Close it."""
        await self._close()


class Periodic:
    """A chore done every so often, such as pruning; a failure is logged and tried again."""

    def __init__(self, name: str, every: float, chore: Callable[[], Awaitable[object]]) -> None:
        """Do `chore` every `every` seconds, the first time after one interval."""
        self.name = name
        self._every = every
        self._chore = chore
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin."""
        self._task = asyncio.create_task(self._run(), name=self.name)

    async def stop(self) -> None:
        """Break off; a chore is one transaction and is rolled back."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            try:
                await self._chore()
            except Exception as error:  # noqa: BLE001 - whatever failed, the next round is another try
                log.warning(
                    "chore_failed",
                    chore=self.name,
                    error=f"{type(error).__name__}: {error}",
                )


def settle_heap() -> None:
    """Take what is there by now, modules above all, out of every later garbage collection.

    Each full collection walks all of it: a third of what a consumer's message costs. Young things
    are looked at less often than by default: most are gone by then.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


async def run(parts: Sequence[Part], *, health: Health | None = None, grace: float = 20.0) -> int:
    """Start all parts, wait for SIGTERM or SIGINT or for a part to die, stop them in reverse.

    Readiness turns false the moment the stop begins. All parts together may take `grace` seconds
    to stop; each gets at least one. A second signal ends the wait. Returns the exit code: 0 after
    a signal, 1 when a part could not start or died.
    """
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    hurried = asyncio.Event()

    def on_signal() -> None:
        (hurried if asked.is_set() else asked).set()

    for number in _SIGNALS:
        loop.add_signal_handler(number, on_signal)
    if health is not None:
        health.begin()
    running: list[Part] = []
    code = 0
    try:
        try:
            if await _start(parts, running, asked):
                if health is not None:
                    health.serve()
                settle_heap()
                log.info("started", parts=[part.name for part in running])
                code = await _watch(running, asked)
        except StartFailed as failure:
            sys.stderr.write(f"{failure}\n")
            code = 1
        except Exception as failure:
            log.error(
                "start_failed",
                error=f"{type(failure).__name__}: {failure}",
                exc_info=failure,
            )
            code = 1
        if health is not None:
            health.stop()
        log.info("stopping")
        await _stop(running, hurried, loop.time() + grace)
        log.info("stopped", exit_code=code)
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
    return code


async def _start(parts: Sequence[Part], running: list[Part], asked: asyncio.Event) -> bool:
    """Start the parts in order; False when a signal came before the last had started."""
    signalled = asyncio.ensure_future(asked.wait())
    try:
        for part in parts:
            # It counts as running from here: a start that broke off half-way is stopped too.
            running.append(part)
            starting = asyncio.ensure_future(part.start())
            await asyncio.wait({starting, signalled}, return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                starting.cancel()
                await asyncio.wait({starting}, timeout=_LEAST_STOP_SECONDS)
                return False
            starting.result()
        return not asked.is_set()
    finally:
        signalled.cancel()


async def _watch(running: Sequence[Part], asked: asyncio.Event) -> int:
    """Wait for a signal (0) or for a part that ends by itself (1)."""
    signalled = asyncio.ensure_future(asked.wait())
    watched: dict[asyncio.Task[Any], str] = {
        asyncio.ensure_future(part.wait()): part.name
        for part in running
        if isinstance(part, Watched)
    }
    try:
        done, _ = await asyncio.wait({signalled, *watched}, return_when=asyncio.FIRST_COMPLETED)
        if signalled in done:
            return 0
        for task in done:
            error = task.exception()
            log.error(
                "part_died",
                part=watched[task],
                error=f"{type(error).__name__}: {error}" if error else "it ended by itself",
                exc_info=error,
            )
        return 1
    finally:
        for task in (signalled, *watched):
            task.cancel()
        await asyncio.gather(signalled, *watched, return_exceptions=True)


async def _stop(running: Sequence[Part], hurried: asyncio.Event, deadline: float) -> None:
    now = asyncio.get_running_loop().time
    hurry = asyncio.ensure_future(hurried.wait())
    for part in reversed(running):
        stopping = asyncio.ensure_future(part.stop())
        left = max(deadline - now(), _LEAST_STOP_SECONDS)
        if hurried.is_set():
            await asyncio.wait({stopping}, timeout=_LEAST_STOP_SECONDS)
        else:
            await asyncio.wait({stopping, hurry}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        if not stopping.done():
            log.warning("part_not_stopped_in_time", part=part.name)
            stopping.cancel()
            await asyncio.wait({stopping}, timeout=_LEAST_STOP_SECONDS)
        if stopping.done() and not stopping.cancelled() and (error := stopping.exception()):
            log.error("stop_failed", part=part.name, error=str(error), exc_info=error)
    hurry.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await hurry


def main(serve: Callable[[], Coroutine[Any, Any, int]]) -> NoReturn:
    """Run `serve` on a fresh uvloop and end the process with the exit code that it returns."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        code = runner.run(serve())
    raise SystemExit(code)
