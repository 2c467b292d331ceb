"""A service as a whole, in a process of its own: how it starts, what it shows, how it ends."""

import asyncio
import json
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import grpc.aio
import httpx
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from sqlalchemy import text
from waybill.sla.v1.service_pb2 import GetClockRequest
from waybill.sla.v1.service_pb2_grpc import ClockServiceStub
from waybill_chassis.database import Database
from waybill_chassis.testing.tokens import Mint

PROGRAM = Path(__file__).with_name("service_program.py")
NewTopic = Callable[..., Awaitable[str]]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


class Service:
    """A process of the service, and the two doors to it."""

    def __init__(self, environment: dict[str, str]) -> None:
        self.http_port, self.grpc_port = free_port(), free_port()
        self.environment = {
            "WAYBILL_SLA_HTTP_PORT": str(self.http_port),
            "WAYBILL_SLA_GRPC_PORT": str(self.grpc_port),
        } | environment
        self.http = httpx.AsyncClient(base_url=f"http://127.0.0.1:{self.http_port}", timeout=20)
        self.process: asyncio.subprocess.Process | None = None
        self.output: asyncio.Task[tuple[bytes, bytes]] | None = None

    async def start(self, *arguments: str) -> None:
        self.process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-X",
            "faulthandler",
            str(PROGRAM),
            *arguments,
            env=self.environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        self.output = asyncio.create_task(self.process.communicate())

    async def ended(self) -> tuple[int, str, str]:
        assert self.process is not None
        assert self.output is not None
        await asyncio.wait({self.output}, timeout=40)
        if not self.output.done():
            # It hangs: let it say where.
            self.process.send_signal(signal.SIGABRT)
            out, err = await self.output
            pytest.fail(f"it does not end: {out.decode()}{err.decode()}")
        out, err = await self.output
        assert self.process.returncode is not None
        return self.process.returncode, out.decode(), err.decode()

    async def stop(self) -> tuple[int, str, str]:
        assert self.process is not None
        with suppress(ProcessLookupError):
            self.process.send_signal(signal.SIGTERM)
        return await self.ended()

    async def becomes(self, status: int, path: str = "/readyz", **headers: str) -> httpx.Response:
        """The first answer with this status; others are asked again until a deadline."""
        async with asyncio.timeout(40):
            while True:
                with suppress(httpx.TransportError):
                    answer = await self.http.get(path, headers=headers)
                    if answer.status_code == status:
                        return answer
                if self.output is not None and self.output.done():
                    raise AssertionError(f"it ended: {self.output.result()}")
                await asyncio.sleep(0.05)


@pytest.fixture
async def service(
    new_database: Database,
    database_url: str,
    kafka: str,
    new_topic: NewTopic,
    mint: Mint,
    tmp_path: Path,
) -> AsyncIterator[Callable[..., Service]]:
    """Makes services over one database and one topic; what still runs is ended."""
    async with new_database.unit_of_work() as uow:
        await uow.execute(text("CREATE TABLE word (word text)"))
    usual = {
        "WAYBILL_DATABASE_URL": database_url,
        "KAFKA_BOOTSTRAP_SERVERS": kafka,
        "WAYBILL_JWKS_URL": mint.jwks_url,
        "WAYBILL_DATA_DIR": str(tmp_path / "data"),
        "TEST_TOPIC": await new_topic(),
    }
    made: list[Service] = []

    def make(**environment: str) -> Service:
        made.append(Service(usual | environment))
        return made[-1]

    yield make
    for one in made:
        await one.http.aclose()
        if one.process is not None and one.process.returncode is None:
            one.process.kill()
            await one.ended()


async def test_a_service_with_all_roles_shows_what_the_platform_asks_for(
    service: Callable[..., Service], mint: Mint, tmp_path: Path
) -> None:
    """Probes, metrics, docs, gRPC health and reflection; a word goes round; it ends with 0."""
    running = service()
    await running.start()
    ready = (await running.becomes(200)).json()
    assert set(ready["checks"]) >= {"database", "keys", "relay"}
    assert (await running.http.get("/livez")).json() == {"alive": True}
    assert (await running.http.get("/docs")).status_code == 200
    assert (await running.http.get("/docs/events")).status_code == 200
    topic = running.environment["TEST_TOPIC"]
    document = (await running.http.get("/docs/events.json")).json()
    assert [channel["address"] for channel in document["channels"].values()] == [topic]

    async with grpc.aio.insecure_channel(f"127.0.0.1:{running.grpc_port}") as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", "waybill.sla.v1.ClockService"):
            found = await health.Check(health_pb2.HealthCheckRequest(service=name), timeout=10)
            assert found.status == health_pb2.HealthCheckResponse.SERVING
        call = reflection_pb2_grpc.ServerReflectionStub(channel).ServerReflectionInfo(
            iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=10
        )
        names = {one.name for one in (await call.read()).list_services_response.service}
        assert "waybill.sla.v1.ClockService" in names
        clock = await ClockServiceStub(channel).GetClock(
            GetClockRequest(),
            metadata=(("authorization", f"Bearer {mint.token('service')}"),),
            timeout=10,
        )
        assert clock.sequence == 7

    parent = "0af7651916cd43dd8448eb211c80319c"
    headers = mint.headers("agent") | {"traceparent": f"00-{parent}-b7ad6b7169203331-01"}
    said = await running.http.post("/v1/words", json={"word": "hello"}, headers=headers)
    assert said.status_code == 201
    async with asyncio.timeout(40):
        while True:
            heard = await running.http.get("/v1/words", headers=mint.headers("agent"))
            if heard.json()["items"] == ["hello"]:
                break
            await asyncio.sleep(0.05)
    exposed = (await running.http.get("/metrics")).text
    for name in (
        "waybill_relay_published_total",
        "waybill_relay_latency_seconds_bucket",
        "waybill_consumer_handled_total",
        "waybill_rpc_server_seconds_count",
        "http_server_request_duration_seconds_count",
        "http_server_active_requests",
    ):
        assert f"\n{name}{{" in exposed or f"\n{name} " in exposed, exposed

    code, out, err = await running.stop()
    assert (code, err) == (0, "")
    lines = [json.loads(line) for line in out.splitlines()]
    assert {line["service"] for line in lines} == {"sla"}
    assert lines[0]["event"] == "starting"
    assert lines[-1] | {"timestamp": 0} == {
        "event": "stopped",
        "exit_code": 0,
        "level": "info",
        "service": "sla",
        "timestamp": 0,
    }
    spans = list(spans_in(tmp_path / "data" / "telemetry" / "sla.traces.jsonl", parent))
    names = {span["name"] for span in spans}
    # The request, its statements, and the same word handled at the other end of the topic.
    assert "POST /v1/words" in names
    assert f"process {topic}" in names
    assert "INSERT outbox" in names
    assert [span["name"] for span in spans].count("POST /v1/words") == 1


def spans_in(file: Path, trace: str) -> list[dict[str, Any]]:
    return [
        span
        for line in file.read_text().splitlines()
        for resource in json.loads(line)["resourceSpans"]
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
        if span["traceId"] == trace
    ]


async def test_a_service_runs_only_the_roles_that_it_is_given(
    service: Callable[..., Service], mint: Mint
) -> None:
    """One takes requests, another publishes and reads: together they do what one would."""
    front = service(WAYBILL_ROLES="http")
    back = service(WAYBILL_ROLES="relay,consumer")
    await front.start()
    await back.start()
    assert "relay" not in (await front.becomes(200)).json()["checks"]
    assert "keys" not in (await back.becomes(200)).json()["checks"]
    headers = mint.headers("agent")
    assert (await back.http.get("/v1/words", headers=headers)).status_code == 404
    with pytest.raises(OSError, match=r"refused|failed"):
        await asyncio.open_connection("127.0.0.1", front.grpc_port)
    await front.http.post("/v1/words", json={"word": "across"}, headers=headers)
    async with asyncio.timeout(40):
        while True:
            heard = await front.http.get("/v1/words", headers=headers)
            if heard.json()["items"] == ["across"]:
                break
            await asyncio.sleep(0.05)
    assert (await front.stop())[0] == 0
    assert (await back.stop())[0] == 0


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("WAYBILL_ROLES", "http,cook", "unknown role cook"),
        ("WAYBILL_SLA_HTTP_PORT", "many", "WAYBILL_SLA_HTTP_PORT"),
        ("WAYBILL_DATABASE_URL", "not a url", "waybill-sla"),
        ("WAYBILL_JWKS_URL", "ftp://keys", "is no JWKS address"),
    ],
)
async def test_a_wrong_setting_ends_the_start_with_one_clear_line(
    service: Callable[..., Service], name: str, value: str, said: str
) -> None:
    """On stderr, with exit code 2."""
    wrong = service(**{name: value})
    await wrong.start()
    code, _, err = await wrong.ended()
    assert code == 2
    assert len(err.splitlines()) == 1
    assert said in err


async def test_a_grpc_port_that_is_taken_ends_the_start_with_one_clear_line(
    service: Callable[..., Service],
) -> None:
    """It names the address and the variable that moves it."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        late = service(WAYBILL_SLA_GRPC_PORT=str(port))
        await late.start()
        code, _, err = await late.ended()
    assert code == 1
    assert err == (
        f"grpc: cannot listen on 127.0.0.1:{port}: Address already in use"
        "; stop what is there, or set WAYBILL_SLA_GRPC_PORT\n"
    )


class Door:
    """A way to a server that can be shut and opened again."""

    def __init__(self, target: tuple[str, int]) -> None:
        self.port = free_port()
        self._target = target
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._pass, "127.0.0.1", self.port)

    async def shut(self) -> None:
        if self._server is not None:
            self._server.close()
            for writer in list(self._open):
                writer.transport.abort()
            self._server = None

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(*self._target)
        self._open |= {writer, back}

        async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with suppress(OSError):
                while data := await source.read(65536):
                    sink.write(data)
                    await sink.drain()
            sink.close()

        await asyncio.gather(copy(reader, back), copy(there, writer))
        self._open -= {writer, back}


async def test_a_database_that_is_away_makes_the_service_unready_until_it_is_back(
    service: Callable[..., Service], database_url: str, mint: Mint
) -> None:
    """At the start and later: a 503 that says so, no crash, and work again afterwards."""
    url = urlsplit(database_url)
    door = Door((url.hostname or "", url.port or 5432))
    through = urlunsplit(url._replace(netloc=f"{url.username}@127.0.0.1:{door.port}"))
    running = service(WAYBILL_DATABASE_URL=through)
    headers = mint.headers("agent")
    try:
        await running.start()
        unready = await running.becomes(503)
        assert "error" in unready.json()["checks"]["database"]
        refused = await running.http.get("/v1/words", headers=headers)
        assert refused.status_code == 503
        assert refused.headers["content-type"] == "application/problem+json"
        assert int(refused.headers["retry-after"]) > 0
        for _ in range(2):
            await door.open()
            await running.becomes(200)
            answer = await running.becomes(200, "/v1/words", **headers)
            assert answer.json() == {"items": []}
            await door.shut()
            assert (await running.becomes(503, "/v1/words", **headers)).status_code == 503
            await running.becomes(503)
        code, out, _ = await running.stop()
    finally:
        await door.shut()
    assert code == 0
    # A line for each change, not one for each attempt.
    assert out.count("leases not renewed") <= 3


async def test_a_broker_that_is_away_at_the_start_is_waited_for(
    service: Callable[..., Service], kafka: str, mint: Mint
) -> None:
    """Requests are taken meanwhile, and their events go out once it is there."""
    host, _, port = kafka.partition(",")[0].rpartition(":")
    door = Door((host, int(port)))
    running = service(KAFKA_BOOTSTRAP_SERVERS=f"127.0.0.1:{door.port}")
    headers = mint.headers("agent")
    try:
        await running.start()
        ready = (await running.becomes(200)).json()
        assert "error" in ready["checks"]["relay"]
        said = await running.http.post("/v1/words", json={"word": "patient"}, headers=headers)
        assert said.status_code == 201
        await door.open()
        async with asyncio.timeout(60):
            while True:
                heard = await running.http.get("/v1/words", headers=headers)
                if heard.json()["items"] == ["patient"]:
                    break
                await asyncio.sleep(0.1)
        code, out, _ = await running.stop()
    finally:
        await door.shut()
    assert code == 0
    assert out.count("relay waiting") == 1
