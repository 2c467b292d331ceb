"""What the local stack can be told, and what it answers to nonsense."""

from pathlib import Path

import pytest
from waybill_cli.errors import StackError
from waybill_cli.local.services import environment
from waybill_cli.local.settings import parse_replicas, read


def test_the_defaults_are_the_published_ports() -> None:
    settings = read({})
    assert settings.gateway_url == "http://127.0.0.1:8080"
    assert list(settings.http_ports.values()) == [8101, 8102, 8103, 8104, 8105]
    assert list(settings.grpc_ports.values()) == [9101, 9102, 9103, 9104, 9105]
    assert (settings.kafka, settings.postgres_port, settings.smtp_port) == (
        "127.0.0.1:19092",
        15432,
        10025,
    )
    assert settings.data_dir.name == ".waybill"


@pytest.mark.parametrize("value", ["http", "0", "65536", "-1", "8080 "])
def test_a_port_that_is_none_is_named(value: str) -> None:
    with pytest.raises(StackError, match="WAYBILL_SMTP_PORT is"):
        read({"WAYBILL_SMTP_PORT": value})


def test_two_parts_on_one_port_are_named() -> None:
    with pytest.raises(StackError, match="WAYBILL_SLA_HTTP_PORT and WAYBILL_GATEWAY_PORT"):
        read({"WAYBILL_SLA_HTTP_PORT": "8080"})


def test_servers_that_are_named_are_used_instead_of_ours() -> None:
    settings = read(
        {
            "KAFKA_BOOTSTRAP_SERVERS": "broker:9092",
            "WAYBILL_KB_DATABASE_URL": "postgresql://elsewhere/kb",
            "WAYBILL_DATA_DIR": "/srv/waybill",
        }
    )
    assert settings.kafka == "broker:9092"
    assert settings.database_url("kb") == "postgresql://elsewhere/kb"
    assert settings.database_url("sla").endswith("@127.0.0.1:15432/waybill_sla")
    assert settings.run_dir == Path("/srv/waybill/run")


def test_replicas_are_numbers_by_service() -> None:
    assert parse_replicas("sla=2, intake=3") == {"sla": 2, "intake": 3}
    assert parse_replicas("") == {}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("sla", "SERVICE=NUMBER"),
        ("sla=x", "SERVICE=NUMBER"),
        ("billing=2", "no service 'billing'"),
        ("sla=0", "run 1 to 20"),
        ("sla=21", "run 1 to 20"),
        ("sla=1,sla=2", "sla twice"),
    ],
)
def test_wrong_replicas_are_refused_with_what_would_be_right(text: str, said: str) -> None:
    with pytest.raises(StackError, match=said):
        parse_replicas(text)


def test_every_replica_has_ports_of_its_own_and_knows_all_of_its_peers() -> None:
    settings = read({})
    replicas = settings.replicas({"sla": 2, "kb": 2})
    assert [replica.name for replica in replicas if replica.service == "sla"] == ["sla", "sla-2"]
    ports = [port for r in replicas for port in (r.http_port, r.grpc_port)]
    assert len(set(ports)) == len(ports)
    told = environment(settings, replicas[0], replicas, base={})
    assert told["WAYBILL_SLA_GRPC"] == "ipv4:127.0.0.1:9103,127.0.0.1:9113"
    assert told["WAYBILL_ROUTING_GRPC"] == "127.0.0.1:9102"
