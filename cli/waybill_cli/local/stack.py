"""Starting, stopping and watching the whole local stack."""

import fcntl
import json
import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from waybill_cli import topics
from waybill_cli.errors import StackError
from waybill_cli.local import keys, parts, services
from waybill_cli.local.databases import ensure_databases
from waybill_cli.local.parts import Part
from waybill_cli.local.processes import (
    Process,
    blocking,
    forget,
    recorded,
    wait_until_ready,
)
from waybill_cli.local.settings import SERVICES, Replica, StackSettings

_DATA = ("kafka/data", "postgres", "mail", "keys", "telemetry", "logs", "gateway", "attachments")
_PLACE = {"kafka": 0, "postgres": 1, "mail": 2, "gateway": 9}


class Progress(Protocol):
    """Who is told how far we are."""

    def note(self, text: str) -> None:
        """Something that takes a while has begun."""

    def done(self, name: str, address: str, seconds: float, remark: str) -> None:
        """A part is ready; the remark says if it ran already."""


@dataclass(frozen=True, slots=True)
class State:
    """One line of `waybill status`. `process` is None for what is down or not ours."""

    name: str
    address: str
    process: Process | None
    ready: bool
    ours: bool


def up(settings: StackSettings, counts: Mapping[str, int], progress: Progress) -> None:
    """Start what does not run yet, each part ready before what needs it.

    `counts` are the replicas asked for; a service that is not named keeps those it has.
    Raises StackError at the first part that does not come up; what started stays up.
    """
    with _only_one(settings):
        wanted = {**_recorded_counts(settings), **counts}
        replicas = settings.replicas(wanted)
        _start_servers(settings, progress)
        _prepare(settings, progress)
        parts.tell_gateway(settings, replicas)
        _stop_surplus(settings, replicas, progress)
        _write_counts(settings, wanted)
        _start_services(settings, replicas, progress)
        _bring_up(parts.envoy(settings), settings, progress)


def down(settings: StackSettings, progress: Progress) -> bool:
    """Stop everything of ours, the last started first. True if there was something to stop."""
    if not settings.run_dir.is_dir():
        return False
    with _only_one(settings):
        running = _running(settings)
        by_place: dict[int, list[Process]] = {}
        for process in running:
            by_place.setdefault(_PLACE.get(process.name, 5), []).append(process)
        for place in sorted(by_place, reverse=True):
            with ThreadPoolExecutor(len(by_place[place])) as pool:
                jobs = [(p, pool.submit(_stop, settings, p)) for p in by_place[place]]
                for process, job in jobs:
                    seconds, forced = job.result()
                    remark = "stopped by force" if forced else "stopped"
                    progress.done(process.name, process.address, seconds, remark)
        _counts_file(settings).unlink(missing_ok=True)
        return bool(running)


def wipe(settings: StackSettings) -> None:
    """Remove what a stack that is down has left, except the broker's programs.

    Raises StackError while something runs.
    """
    if not settings.data_dir.is_dir():
        return
    with _only_one(settings):
        if running := _running(settings):
            raise StackError(f"{running[0].name} still runs: `waybill down` first")
        for name in _DATA:
            shutil.rmtree(settings.data_dir / name, ignore_errors=True)


def status(settings: StackSettings) -> list[State]:
    """Every part that should run, asked whether it is ready."""
    replicas = settings.replicas(_recorded_counts(settings))
    wanted = [*_servers(settings, lambda _: None), parts.envoy(settings)]
    wanted[-1:-1] = [parts.service(settings, replica, replicas) for replica in replicas]
    with ThreadPoolExecutor(len(wanted)) as pool:
        return list(pool.map(lambda part: _state(settings, part), wanted))


def log_files(settings: StackSettings, name: str | None) -> list[Path]:
    """The logs of a part, all its replicas, or of everything. Raises StackError for none."""
    pattern = re.compile(rf"{re.escape(name)}(-\d+)?\.log" if name else r".*\.log")
    found = sorted(p for p in settings.log_dir.glob("*.log") if pattern.fullmatch(p.name))
    if not found:
        known = ", ".join(sorted(p.stem for p in settings.log_dir.glob("*.log")))
        wanted = f"no log of {name!r}" if name else "no logs"
        raise StackError(
            f"{wanted} in {settings.log_dir}" + (f"; there are {known}" if known else "")
        )
    return found


def _servers(settings: StackSettings, say: parts.Say) -> list[Part]:
    found = (parts.broker(settings, say), parts.database(settings), parts.mail_sink(settings))
    return [part for part in found if part is not None]


def _start_servers(settings: StackSettings, progress: Progress) -> None:
    """Broker, database and mail sink come up side by side and are told of in order."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    servers = _servers(settings, progress.note)
    with ThreadPoolExecutor(len(servers)) as pool:
        jobs = [pool.submit(_await, part, settings) for part in servers]
        for part, job in zip(servers, jobs, strict=True):
            seconds, remark = job.result()
            progress.done(part.name, part.address, seconds, remark)


def _prepare(settings: StackSettings, progress: Progress) -> None:
    began = time.monotonic()
    declared = topics.declared().all()
    made = blocking(topics.ensure(settings.kafka, declared))
    progress.done("topics", f"{len(declared)} topics", time.monotonic() - began, _count(made))
    ours = [service for service in SERVICES if service not in settings.external_databases]
    if ours:
        began = time.monotonic()
        fresh = blocking(ensure_databases(parts.superuser_url(settings), ours))
        seconds = time.monotonic() - began
        progress.done("databases", f"{len(ours)} databases", seconds, _count(fresh))
    began = time.monotonic()
    new_key = keys.ensure_keys(settings.keys_dir)
    for service in SERVICES:
        keys.ensure_service_token(settings.keys_dir, service)
    remark = "made" if new_key else "there already"
    progress.done("keys", str(settings.keys_dir), time.monotonic() - began, remark)


def _start_services(
    settings: StackSettings, replicas: Sequence[Replica], progress: Progress
) -> None:
    fresh = [r for r in replicas if recorded(settings.run_dir, r.name) is None]
    owners = {r.service: r for r in reversed(fresh)}
    if owners:
        began = time.monotonic()
        with ThreadPoolExecutor(len(owners)) as pool:
            jobs = [pool.submit(services.migrate, settings, r, replicas) for r in owners.values()]
            for job in jobs:
                job.result()
        named = ", ".join(service for service in SERVICES if service in owners)
        progress.done("migrations", named, time.monotonic() - began, "")
    began = time.monotonic()
    wanted = [parts.service(settings, replica, replicas) for replica in replicas]
    started = [(part, *parts.start(part, settings)) for part in wanted]
    for part, process, already in started:
        _wait(part, process, settings)
        seconds = 0.0 if already else time.monotonic() - began
        progress.done(part.name, part.address, seconds, "runs already" if already else "")


def _stop_surplus(settings: StackSettings, replicas: Sequence[Replica], progress: Progress) -> None:
    wanted = {replica.name for replica in replicas}
    for process in _running(settings):
        if process.name not in _PLACE and process.name not in wanted:
            seconds, _ = _stop(settings, process)
            progress.done(process.name, process.address, seconds, "stopped")


def _bring_up(part: Part, settings: StackSettings, progress: Progress) -> None:
    seconds, remark = _await(part, settings)
    progress.done(part.name, part.address, seconds, remark)


def _await(part: Part, settings: StackSettings) -> tuple[float, str]:
    """Start a part if need be and wait until it is ready; the seconds it took and a remark."""
    began = time.monotonic()
    process, already = parts.start(part, settings)
    _wait(part, process, settings)
    remark = "not ours" if process is None else "runs already" if already else ""
    return time.monotonic() - began, remark


def _wait(part: Part, process: Process | None, settings: StackSettings) -> None:
    if process is None:
        if not part.ready():
            raise StackError(
                f"{part.name} at {part.address} does not answer; is the address right?"
            )
        return
    log = services.log_file(settings, part.name)
    wait_until_ready(process, part.ready, log_file=log, timeout=part.ready_seconds)


def _state(settings: StackSettings, part: Part) -> State:
    process = recorded(settings.run_dir, part.name) if part.launch else None
    try:
        ready = (process is not None or part.launch is None) and part.ready()
    except StackError:
        ready = False
    address = process.address if process else part.address
    return State(part.name, address, process, ready, part.launch is not None)


def _stop(settings: StackSettings, process: Process) -> tuple[float, bool]:
    began = time.monotonic()
    forced = process.stop(services.STOP_SECONDS)
    forget(settings.run_dir, process.name)
    return time.monotonic() - began, forced


def _running(settings: StackSettings) -> list[Process]:
    files = settings.run_dir.glob("*.json")
    found = (recorded(settings.run_dir, path.stem) for path in sorted(files))
    return [process for process in found if process is not None]


def _counts_file(settings: StackSettings) -> Path:
    return settings.run_dir / "replicas"


def _recorded_counts(settings: StackSettings) -> dict[str, int]:
    """How many of each service the last `up` was asked for, since the last `down`."""
    try:
        counts = json.loads(_counts_file(settings).read_text())
        return {service: int(counts[service]) for service in SERVICES if service in counts}
    except (OSError, ValueError, TypeError):
        return {}


def _write_counts(settings: StackSettings, counts: Mapping[str, int]) -> None:
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    _counts_file(settings).write_text(json.dumps(counts))


def _count(made: Sequence[str]) -> str:
    return f"{len(made)} made" if made else "there already"


@contextmanager
def _only_one(settings: StackSettings) -> Iterator[None]:
    """Two commands that start or stop the same stack do not run at once."""
    settings.run_dir.mkdir(parents=True, exist_ok=True)
    with (settings.run_dir / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StackError(
                f"another `waybill up` or `down` is at work in {settings.data_dir}"
            ) from error
        yield
