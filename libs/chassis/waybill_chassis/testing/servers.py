"""Where the tests' broker and database come from."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

KAFKA = "KAFKA_BOOTSTRAP_SERVERS"
POSTGRES = "WAYBILL_TEST_POSTGRES_URL"


def docker_answers() -> bool:
    """Whether a Docker engine can be reached."""
    host = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")
    # The client leaves a socket behind, which is a warning, when there is nothing to connect to.
    if host.startswith("unix://") and not Path(host.removeprefix("unix://")).is_socket():
        return False
    import docker
    from docker.errors import DockerException

    try:
        client = docker.from_env(timeout=2)
    except DockerException:
        return False
    try:
        return bool(client.ping())
    except DockerException:
        return False
    finally:
        client.close()


@contextmanager
def _docker_broker() -> Iterator[str]:
    # testcontainers' own Kafka needs the scripts of another vendor's image. The port is chosen
    # here, since the broker must know the address that it tells to its clients.
    from testcontainers.core.container import DockerContainer
    from testcontainers.core.wait_strategies import LogMessageWaitStrategy
    from waybill_cli.local.processes import HOST, free_port

    port = free_port()
    container = (
        DockerContainer("apache/kafka:4.1.1")
        .with_bind_ports(9092, port)
        .with_envs(
            KAFKA_NODE_ID="1",
            KAFKA_PROCESS_ROLES="broker,controller",
            KAFKA_CONTROLLER_QUORUM_VOTERS="1@localhost:9093",
            KAFKA_CONTROLLER_LISTENER_NAMES="CONTROLLER",
            KAFKA_LISTENERS="PLAINTEXT://:9092,CONTROLLER://:9093",
            KAFKA_ADVERTISED_LISTENERS=f"PLAINTEXT://{HOST}:{port}",
            KAFKA_LISTENER_SECURITY_PROTOCOL_MAP="PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            KAFKA_AUTO_CREATE_TOPICS_ENABLE="false",
            KAFKA_OFFSETS_TOPIC_REPLICATION_FACTOR="1",
            KAFKA_TRANSACTION_STATE_LOG_REPLICATION_FACTOR="1",
            KAFKA_TRANSACTION_STATE_LOG_MIN_ISR="1",
            KAFKA_GROUP_INITIAL_REBALANCE_DELAY_MS="0",
        )
        .waiting_for(LogMessageWaitStrategy("Kafka Server started"))
    )
    with container:
        yield f"{HOST}:{port}"


@contextmanager
def broker() -> Iterator[str]:
    """The address of a Kafka broker, for as long as the block lasts."""
    if address := os.environ.get(KAFKA):
        yield address
        return
    if docker_answers():
        with _docker_broker() as address:
            yield address
        return
    from waybill_cli.local import kafka

    with tempfile.TemporaryDirectory(prefix="waybill-kafka-") as folder:
        running = kafka.start(Path(folder))
        try:
            yield running.address
        finally:
            running.stop()


@contextmanager
def database_server() -> Iterator[str]:
    """The superuser's URL of a PostgreSQL server with pgvector, for as long as the block lasts."""
    if url := os.environ.get(POSTGRES):
        yield url
        return
    if docker_answers():
        from testcontainers.postgres import PostgresContainer

        server = PostgresContainer("pgvector/pgvector:pg18", driver=None)
        with server.with_command("postgres -c max_connections=300") as container:
            yield container.get_connection_url()
        return
    from waybill_cli.local import postgres

    with tempfile.TemporaryDirectory(prefix="waybill-postgres-") as folder:
        running = postgres.start(Path(folder), settings={"max_connections": "300"})
        try:
            yield running.url
        finally:
            running.stop()
