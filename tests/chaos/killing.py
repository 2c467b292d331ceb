"""Kills and freezes processes of a stack at random, and has `waybill up` bring them back."""

import asyncio
import contextlib
import random
import signal
import time
from collections import Counter
from dataclasses import dataclass, field

import psutil
from waybill_cli.local.processes import Process, recorded
from waybill_cli.testing import Stack

FROZEN_SECONDS = 6.0
"""Longer than a lease of the relay."""
LONG_FROZEN_SECONDS = 14.0
"""Longer than the broker waits for a member of a group."""

SERVERS = ("kafka", "postgres", "mail", "gateway")
SERVER_SECONDS = 30.0
"""A server is hit at most so often, or nothing would ever get done."""
MOST_DOWN = 4
"""While so many are down nothing is hit: what never gets up cannot fall."""
_UP_SECONDS = 110.0


@dataclass(slots=True)
class Killer:
    """One misfortune after the other. With `servers` those may be hit too."""

    stack: Stack
    chance: random.Random
    servers: bool = False
    pause: float = 2.0
    done: Counter[str] = field(default_factory=Counter)
    story: list[str] = field(default_factory=list)
    _frozen: dict[int, psutil.Process] = field(default_factory=dict)
    _next_server: float = 5.0
    _hits: int = 0
    _began: float = field(default_factory=time.monotonic)

    async def run(self, seconds: float) -> None:
        """Be cruel for so long, then wake and start whatever is down."""
        self._began = time.monotonic()
        stop = asyncio.Event()
        reviving = asyncio.create_task(self._revive(stop))
        thaws: list[asyncio.Task[None]] = []
        try:
            while (now := time.monotonic() - self._began) < seconds:
                await asyncio.sleep(self.chance.uniform(0.5, 1.5) * self.pause)
                if len(self._down()) >= MOST_DOWN:
                    continue
                running = self._running()
                services = [process for process in running if process.name not in SERVERS]
                servers = [process for process in running if process.name in SERVERS]
                if self.servers and servers and now > self._next_server:
                    self._next_server = now + SERVER_SECONDS
                    self._kill(self.chance.choice(servers))
                elif services and recorded(self.stack.settings.run_dir, "gateway"):
                    # Without a gateway there is no load to die under.
                    thaws += self._hit(self.chance.choice(services), services)
            await asyncio.gather(*thaws)
        finally:
            for process in self._frozen.values():
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.resume()
            stop.set()
            await reviving

    def _running(self) -> list[Process]:
        run_dir = self.stack.settings.run_dir
        found = (recorded(run_dir, path.stem) for path in sorted(run_dir.glob("*.json")))
        return [one for one in found if one is not None and one.pid not in self._frozen]

    def _hit(self, victim: Process, running: list[Process]) -> list[asyncio.Task[None]]:
        # However short the run, it has seen both.
        self._hits += 1
        kind = {1: 1.0, 2: 0.0, 3: 1.0}.get(self._hits, self.chance.random())
        if kind < 0.35:
            return [asyncio.create_task(self._freeze(victim))]
        together = [victim]
        if kind < 0.55:
            # The whole service at once: nobody is left to take over.
            service = victim.name.partition("-")[0]
            together = [one for one in running if one.name.partition("-")[0] == service]
        for process in together:
            self._kill(process)
        return []

    def _kill(self, victim: Process) -> None:
        process = victim.find()
        if process is None:
            return
        # A database that is told so leaves no children behind, and recovers as from a crash.
        number = victim.kill_signal
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
            self._note("killed", victim.name, signal.Signals(number).name)

    async def _freeze(self, victim: Process) -> None:
        process = victim.find()
        if process is None:
            return
        long = self.servers and self.chance.random() < 0.4
        seconds = LONG_FROZEN_SECONDS if long else FROZEN_SECONDS
        with contextlib.suppress(psutil.NoSuchProcess):
            self._frozen[victim.pid] = process
            process.suspend()
            self._note("frozen", victim.name, f"for {seconds:.0f} s")
            await asyncio.sleep(seconds)
            process.resume()
        self._frozen.pop(victim.pid, None)

    async def _revive(self, stop: asyncio.Event) -> None:
        """Bring back what is down, again and again; the last time it must work."""
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 1.0)
            if not stop.is_set() and self._down():
                await asyncio.to_thread(self.stack.run, "up", timeout=_UP_SECONDS)
        for _ in range(3):
            said = await asyncio.to_thread(self.stack.run, "up", timeout=_UP_SECONDS)
            if said.code == 0:
                return
        raise AssertionError(f"`waybill up` does not bring the stack back: {said.out}{said.err}")

    def _down(self) -> list[str]:
        run_dir = self.stack.settings.run_dir
        names = [path.stem for path in run_dir.glob("*.json")]
        return [name for name in names if recorded(run_dir, name) is None]

    def _note(self, what: str, name: str, how: str) -> None:
        self.done[what] += 1
        self.story.append(f"{time.monotonic() - self._began:6.1f} s  {what} {name} {how}")
