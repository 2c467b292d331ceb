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
def broker() -> Iterator[str]:
    """The address of a Kafka broker, for as long as the block lasts."""
    if address := os.environ.get(KAFKA):
        yield address
        return
    if docker_answers():
        from testcontainers.kafka import KafkaContainer

        with KafkaContainer("apache/kafka:4.1.1") as container:
            yield container.get_bootstrap_server()
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

        with PostgresContainer("pgvector/pgvector:pg18", driver=None) as container:
            yield container.get_connection_url()
        return
    from waybill_cli.local import postgres

    with tempfile.TemporaryDirectory(prefix="waybill-postgres-") as folder:
        running = postgres.start(Path(folder), settings={"max_connections": "300"})
        try:
            yield running.url
        finally:
            running.stop()
