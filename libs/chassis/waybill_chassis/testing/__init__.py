"""Pytest plugin: a real broker and a real database for the session, a fresh clone for each test.

Servers come from the environment (`KAFKA_BOOTSTRAP_SERVERS`, `WAYBILL_TEST_POSTGRES_URL`) if it
names them, else from Docker through testcontainers if an engine answers, else from the local
stack. Parallel workers share one of each.
"""

from waybill_chassis.testing.fixtures import (
    clock,
    database_url,
    kafka,
    mint,
    new_database,
    new_service_database,
    new_topic,
    postgres_url,
)

__all__ = [
    "clock",
    "database_url",
    "kafka",
    "mint",
    "new_database",
    "new_service_database",
    "new_topic",
    "postgres_url",
]
