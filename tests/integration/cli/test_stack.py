"""`waybill up` and its companions, with stand-ins for the services and everything else real.

The tests of this module follow one stack through its life and run in their order.
"""

import json
import mailbox
import smtplib
import socket

import asyncpg
import jwt
import pytest
from waybill_cli.local.settings import SERVICES

PARTS = ("kafka", "postgres", "mail", "intake", "routing", "sla", "notify", "kb", "gateway")


def asked(stack, path: str) -> dict[str, object]:
    """What a stand-in behind the gateway was asked."""
    with stack.client() as client:
        answer = client.get(path)
    answer.raise_for_status()
    return answer.json()


def pids(stack) -> dict[str, int]:
    return {
        path.stem: json.loads(path.read_text())["pid"]
        for path in stack.settings.run_dir.glob("*.json")
    }


def test_a_taken_port_is_named_with_its_holder_and_the_setting_that_moves_it(stack):
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", stack.settings.smtp_port))
        holder.listen()
        said = stack.run("up")
    assert said.code == 1
    assert f"mail needs port {stack.settings.smtp_port}" in said.err
    assert "set WAYBILL_SMTP_PORT" in said.err
    assert "Traceback" not in said.err


def test_up_starts_every_part_in_order_and_returns_when_all_are_ready(stack):
    said = stack.run("up")
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    told = [line.split()[0] for line in lines]
    prepared = ["topics", "databases", "keys", "migrations"]
    assert told[:-1] == [*PARTS[:3], *prepared, *PARTS[3:]]
    assert lines[-1].startswith(f"Waybill is ready at {stack.settings.gateway_url}")
    assert (stack.folder / "migrated").read_text().split() != []
    status = stack.run("status")
    assert status.code == 0, status.out
    assert [line.split()[0] for line in status.out.splitlines()[1:]] == list(PARTS)


def test_each_service_is_told_where_the_others_and_its_own_things_are(stack):
    told = asked(stack, "/v1/sla/policies")
    env, settings = told["env"], stack.settings
    assert told["service"] == "sla"
    assert env["KAFKA_BOOTSTRAP_SERVERS"] == settings.kafka
    assert env["WAYBILL_SLA_DATABASE_URL"] == settings.database_url("sla")
    assert env["WAYBILL_KB_GRPC"] == f"127.0.0.1:{settings.grpc_ports['kb']}"
    assert env["WAYBILL_PUBLIC_URL"] == settings.gateway_url
    assert env["WAYBILL_SMTP_PORT"] == str(settings.smtp_port)


def test_the_gateway_leads_each_path_to_its_owner_and_keeps_the_rest_out(stack):
    owners = {
        "/v1/tickets": "intake",
        "/v1/tickets/WB-1/messages?limit=2": "intake",
        "/v1/tickets/WB-1/assignment/claim": "routing",
        "/v1/tickets/WB-1/sla": "sla",
        "/v1/deliveries": "notify",
        "/v1/search?q=refund": "kb",
        "/kb/openapi.json": "kb",
    }
    assert {path: asked(stack, path)["service"] for path in owners} == owners
    assert asked(stack, "/kb/openapi.json")["path"] == "/openapi.json"
    with stack.client() as client:
        for path in ("/readyz", "/metrics", "/v1/unheard-of"):
            assert client.get(path).status_code == 404, path
        too_long = client.post("/v1/tickets", content=b"x" * 1_048_577)
        assert too_long.status_code == 413
        assert too_long.headers["content-type"] == "application/problem+json"
        for path in ("/", "/docs/events"):
            assert client.get(path, follow_redirects=True).text.count("/docs/events") >= 5, path


async def test_each_role_reaches_its_own_database_only(stack):
    own = await asyncpg.connect(stack.settings.database_url("kb"))
    assert await own.fetchval("SELECT count(*) FROM pg_extension WHERE extname = 'vector'") == 1
    await own.close()
    foreign = stack.settings.database_url("kb").rpartition("/")[0] + "/waybill_sla"
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await asyncpg.connect(foreign)


def test_the_mail_sink_keeps_what_it_accepted(stack):
    with smtplib.SMTP("127.0.0.1", stack.settings.smtp_port) as client:
        client.sendmail("a@example.com", ["b@example.com"], b"Subject: kept\r\n\r\nbody\r\n")
    kept = mailbox.Maildir(stack.folder / "mail", create=False)
    assert [message["subject"] for message in kept] == ["kept"]


def test_a_second_up_changes_nothing(stack):
    before = pids(stack)
    said = stack.run("up")
    assert said.code == 0, said.err
    assert said.out.count("runs already") == len(PARTS)
    assert pids(stack) == before


def test_a_part_that_died_is_started_again_and_the_others_are_left_alone(stack):
    before = pids(stack)
    stack_settings = stack.settings
    from waybill_cli.local.processes import recorded

    recorded(stack_settings.run_dir, "kb").stop()
    assert stack.run("status").code == 1
    assert stack.run("up").code == 0
    after = pids(stack)
    assert after.pop("kb") != before.pop("kb")
    assert after == before


def test_replicas_grow_stay_and_shrink_behind_the_gateway(stack):
    assert stack.run("up", "--replicas", "sla=2").code == 0
    both = {stack.settings.http_ports["sla"], stack.settings.http_ports["sla"] + 10}
    seen: set[object] = set()
    for _ in range(200):
        seen.add(asked(stack, "/v1/sla/policies")["port"])
        if seen == both:
            break
    assert seen == both
    # Asked for once, they stay until another number is asked for.
    assert "sla-2" in stack.run("up").out
    assert stack.run("status").out.count("sla-2") == 1
    fewer = stack.run("up", "--replicas", "sla=1")
    assert fewer.code == 0
    assert "sla-2" in fewer.out
    assert "sla-2" not in pids(stack)
    assert {asked(stack, "/v1/sla/policies")["port"] for _ in range(20)} == {min(both)}


def test_a_token_is_printed_alone_and_signed_by_the_published_key(stack):
    said = stack.run("token", "--role", "agent", "--sub", "ana@example.com", "--ttl", "5m")
    key = jwt.PyJWKSet.from_json((stack.settings.keys_dir / "jwks.json").read_text()).keys[0]
    claims = jwt.decode(said.out.strip(), key, algorithms=["RS256"], audience="waybill")
    assert claims["email"] == claims["sub"] == "ana@example.com"
    assert claims["roles"] == ["agent"]
    assert claims["exp"] - claims["iat"] == 300
    assert said.err == ""


def test_logs_show_one_part_or_all_and_name_what_there_is(stack):
    assert stack.run("logs", "kb").out.splitlines()[-1] == "kb stands in"
    everything = stack.run("logs", "-n", "1").out
    assert all(f"{service:<8} | " in everything for service in SERVICES)
    unknown = stack.run("logs", "billing")
    assert unknown.code == 1
    assert "there are" in unknown.err


def test_down_stops_everything_in_order_and_keeps_the_data(stack):
    said = stack.run("down")
    assert said.code == 0, said.err
    told = [line.split()[0] for line in said.out.splitlines()]
    assert told[0] == "gateway"
    assert told[-1] == "kafka"
    assert set(told) == set(PARTS)
    assert "by force" not in said.out
    assert set((stack.folder / "stopped").read_text().split()) == set(SERVICES)
    assert (stack.folder / "kafka" / "data").is_dir()
    assert stack.run("down").out == "nothing runs\n"
    assert stack.run("status").code == 1


def test_wiping_leaves_nothing_but_what_was_not_ours(stack):
    (stack.folder / "notes.txt").touch()
    said = stack.run("down", "--wipe")
    assert said.code == 0, said.err
    left = {path.name for path in stack.folder.iterdir()}
    assert left == {"notes.txt", "run", "kafka", "migrated", "stopped"}
    assert [path.name for path in (stack.folder / "kafka").iterdir()] == ["server.properties"]
