"""Is this process ready for work: asks everything it depends on, and never waits for long."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Check = Callable[[], Awaitable[None]]


class Phase(StrEnum):
    """Where a process is in its life."""

    STARTING = "starting"
    SERVING = "serving"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True)
class Finding:
    """What one dependency answered; `error` is None when it is well."""

    name: str
    critical: bool
    error: str | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Report:
    """What all dependencies answered."""

    phase: Phase
    findings: tuple[Finding, ...]

    @property
    def ready(self) -> bool:
        """Serving, and nothing critical is away."""
        return self.phase is Phase.SERVING and not any(
            finding.critical and finding.error for finding in self.findings
        )

    def document(self) -> dict[str, Any]:
        """The report as JSON shows it."""
        return {
            "ready": self.ready,
            "phase": self.phase.value,
            "checks": {
                finding.name: {
                    "ok": finding.error is None,
                    "critical": finding.critical,
                    "seconds": round(finding.seconds, 4),
                }
                | ({"error": finding.error} if finding.error else {})
                for finding in self.findings
            },
        }


class Health:
    """The dependencies of a process and the phase it is in."""

    def __init__(self, *, timeout: float = 2.0) -> None:
        """Each check may take `timeout` seconds."""
        self._timeout = timeout
        self._checks: dict[str, tuple[Check, bool]] = {}
        self.phase = Phase.SERVING
        self.stopping = asyncio.Event()
        """Set when the process is asked to stop: endless responses end here."""

    def add(self, name: str, check: Check, *, critical: bool = True) -> None:
        """Ask `check` for readiness: it returns when all is well and raises when not."""
        if name in self._checks:
            raise ValueError(f"there is a check named {name} already")
        self._checks[name] = (check, critical)

    def begin(self) -> None:
        """Not ready yet."""
        self.phase = Phase.STARTING

    def serve(self) -> None:
        """Everything has started."""
        self.phase = Phase.SERVING

    def stop(self) -> None:
        """Not ready any more."""
        self.phase = Phase.STOPPING
        self.stopping.set()

    async def ready(self) -> Report:
        """Ask everything at once; takes no longer than the slowest check is allowed."""
        findings = await asyncio.gather(
            *(self._ask(name, check, critical) for name, (check, critical) in self._checks.items())
        )
        return Report(self.phase, tuple(findings))

    async def _ask(self, name: str, check: Check, critical: bool) -> Finding:
        clock = asyncio.get_running_loop().time
        began = clock()
        task = asyncio.ensure_future(check())
        try:
            # Not wait_for: a check that will not be cancelled must not hold up the answer.
            done, _ = await asyncio.wait({task}, timeout=self._timeout)
        finally:
            if not task.done():
                task.cancel()
        error: str | None = None
        if not done:
            error = f"no answer within {self._timeout:g} s"
            task.add_done_callback(_swallow)
        elif task.cancelled():
            error = "the check was cancelled"
        elif failure := task.exception():
            first_line = (str(failure).splitlines() or [""])[0][:200]
            error = f"{type(failure).__name__}: {first_line}".removesuffix(": ")
        return Finding(name, critical, error, clock() - began)


def _swallow(task: "asyncio.Future[None]") -> None:
    with contextlib.suppress(asyncio.CancelledError):
        task.exception()
