"""Each service's OpenAPI document holds for whatever fits it, and for whatever does not."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS as ALL_CHECKS
from schemathesis.checks import load_all_checks
from schemathesis.core.failures import FailureGroup
from waybill_chassis.testing.tokens import Mint

SERVICES = ("intake", "routing", "sla", "notify", "kb")
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
    "negative_data_rejection",
    "missing_required_header",
    "unsupported_method",
]
"""All but those that take every refusal of a well-formed request for a mistake: no document can
say which cursors and which ids there are."""
EXAMPLES = int(os.environ.get("WAYBILL_TEST_OPENAPI_EXAMPLES", "8"))


@contextmanager
def running(name: str, environment: Mapping[str, str], log: Path) -> Iterator[str]:
    """The service in a process of its own; its address."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", f"waybill_{name}"],
            env={f"WAYBILL_{name.upper()}_HTTP_PORT": str(port), **environment},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + 60
        while not answers(address):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=40)


def answers(address: str) -> bool:
    try:
        return httpx.get(f"{address}/livez", timeout=5).is_success
    except httpx.TransportError:
        return False


def a_ticket(address: str, headers: Mapping[str, str]) -> str:
    """The id of a new ticket, so that generated requests also meet one that is there."""
    body = {"type": "technical", "title": "It squeaks", "description": "So.", "product": "demo"}
    answer = httpx.post(f"{address}/v1/tickets", json=body, headers=headers)
    assert answer.status_code == 201, answer.text
    id: str = answer.json()["id"]
    return id


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", SERVICES)
async def test_the_document_holds(
    name: str,
    new_service_database: Callable[[str], Awaitable[str]],
    kafka: str,
    mint: Mint,
    tmp_path: Path,
) -> None:
    """No 5xx, no answer that the document does not speak of, nothing accepted that it forbids."""
    environment = {
        "WAYBILL_DATABASE_URL": await new_service_database(name),
        "KAFKA_BOOTSTRAP_SERVERS": kafka,
        "WAYBILL_JWKS_URL": mint.jwks_url,
        "WAYBILL_DATA_DIR": str(tmp_path / "data"),
        "WAYBILL_ROLES": "http",
    }
    load_all_checks()
    headers = mint.headers("admin", "agent", sub="root@example.com", products=["*"])
    failures: list[str] = []
    log = tmp_path / "log"
    with running(name, environment, log) as address:
        schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
        for result in schema.get_all_operations():
            operation = result.ok()
            for mode in GenerationMode:
                positive = mode is GenerationMode.POSITIVE
                of_a_ticket = name == "intake" and operation.path.startswith("/v1/tickets/{id}")
                there = a_ticket(address, headers) if positive and of_a_ticket else None
                try:
                    probe(operation, mode, headers, there)
                except Unsatisfiable:
                    # A path of one free word and no more: nothing is against the document.
                    assert not positive, operation.label
                except FailureGroup as failure:
                    failures.append(f"{operation.label}: {failure}")
    assert not failures, "\n\n".join([*failures, *errors(log)])


def probe(operation: Any, mode: GenerationMode, headers: dict[str, str], there: str | None) -> None:
    """Generated requests of one operation; `there` is the ticket that they are about."""
    checks = ALL_CHECKS.get_by_names(CHECKS)

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def holds(case: schemathesis.Case) -> None:
        if there is not None:
            case.path_parameters["id"] = there
        answer = case.call(headers=headers)
        # The other services are away here, and some questions only they can answer.
        if answer.status_code != 503 or "peer" not in answer.json():
            case.validate_response(answer, headers=headers, checks=checks)

    holds()


def errors(log: Path) -> list[str]:
    """What the service itself says of its mistakes."""
    return [line for line in log.read_text().splitlines() if '"error"' in line][-5:]
