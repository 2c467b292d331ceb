"""Topics as `deploy/topics.yaml` declares them, made on a broker."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code

from waybill_cli.errors import StackError
from waybill_cli.places import project_root

_SLUG = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Topic:
    """One topic. `replication_factor` is what is wished; a small cluster keeps fewer copies."""

    name: str
    partitions: int
    replication_factor: int
    min_insync_replicas: int
    config: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Declared:
    """What the file says; `{product}` topics are made for each product."""

    services: tuple[str, ...]
    products: tuple[str, ...]
    templates: tuple[Topic, ...]

    def for_services(self) -> list[Topic]:
        """Each service's own topics."""
        return [
            _named(topic, service=service)
            for topic in self.templates
            if "{service}" in topic.name
            for service in self.services
        ]

    def for_product(self, product: str) -> list[Topic]:
        """A product's requests and feed. Raises StackError on a name no topic can carry."""
        if not _SLUG.fullmatch(product):
            raise StackError(
                f"product {product!r}: use up to 63 lower-case letters, digits and dashes"
            )
        return [_named(topic, product=product) for topic in self.templates if "{p" in topic.name]

    def all(self) -> list[Topic]:
        """The topics of all services and of the products that the file names."""
        products = [topic for product in self.products for topic in self.for_product(product)]
        return [*self.for_services(), *products]


def declared(path: Path | None = None) -> Declared:
    """Read the file, `deploy/topics.yaml` unless named. Raises StackError where it is wrong."""
    path = path or project_root() / "deploy" / "topics.yaml"
    try:
        content: dict[str, Any] = yaml.safe_load(path.read_text())
        shared = content["config"]
        templates = tuple(
            Topic(
                name=str(item["name"]),
                partitions=int(item["partitions"]),
                replication_factor=int(content["replication_factor"]),
                min_insync_replicas=int(content["min_insync_replicas"]),
                config={
                    name: str(value) for name, value in {**shared, **item.get("config", {})}.items()
                },
            )
            for item in content["topics"]
        )
        return Declared(tuple(content["services"]), tuple(content["products"]), templates)
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise StackError(f"{path} is not a list of topics: {error!r}") from error


async def ensure(bootstrap_servers: str, topics: Sequence[Topic]) -> list[str]:
    """Make the topics that are missing and set the configuration of the others.

    Returns the names of those made. Raises StackError when the broker is away, and when a topic
    has other partitions than declared: they are fixed for life.
    """
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers, request_timeout_ms=15_000)
    try:
        await client.start()
        brokers = len((await client.describe_cluster())["brokers"])
        present = await _partitions(client, [topic.name for topic in topics])
        for topic in topics:
            if present.get(topic.name, topic.partitions) != topic.partitions:
                raise StackError(
                    f"{topic.name} has {present[topic.name]} partitions, topics.yaml says "
                    f"{topic.partitions}: they are fixed for life; make a new version of the topic"
                )
        missing = [topic for topic in topics if topic.name not in present]
        made = await _create(client, missing, brokers)
        await _configure(client, [t for t in topics if t.name in present], brokers)
        return made
    except KafkaError as error:
        raise StackError(f"topics on {bootstrap_servers}: {error}") from error
    finally:
        await client.close()


async def partitions(bootstrap_servers: str, names: Sequence[str]) -> dict[str, int]:
    """How many partitions each of these topics has; those that do not exist are left out.

    Raises StackError when the broker is away.
    """
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers, request_timeout_ms=15_000)
    try:
        await client.start()
        return await _partitions(client, names)
    except KafkaError as error:
        raise StackError(f"topics on {bootstrap_servers}: {error}") from error
    finally:
        await client.close()


async def ensure_product_topics(bootstrap_servers: str, product: str) -> list[str]:
    """Make the requests and feed topics of one product; the names of those that were missing."""
    return await ensure(bootstrap_servers, declared().for_product(product))


def _named(topic: Topic, **words: str) -> Topic:
    return Topic(
        topic.name.format(**words),
        topic.partitions,
        topic.replication_factor,
        topic.min_insync_replicas,
        topic.config,
    )


async def _partitions(client: Any, names: Sequence[str]) -> dict[str, int]:
    existing = set(await client.list_topics()) & set(names)
    if not existing:
        return {}
    return {
        found["topic"]: len(found["partitions"])
        for found in await client.describe_topics(sorted(existing))
    }


async def _create(client: Any, topics: Sequence[Topic], brokers: int) -> list[str]:
    if not topics:
        return []
    answer = await client.create_topics(
        [
            NewTopic(
                topic.name,
                topic.partitions,
                min(topic.replication_factor, brokers),
                topic_configs=_config(topic, brokers),
            )
            for topic in topics
        ]
    )
    made = []
    for name, code, *said in answer.topic_errors:
        error = for_code(code)
        # Somebody else may have made it in the same moment.
        if code != 0 and error is not TopicAlreadyExistsError:
            raise StackError(
                f"topic {name} cannot be made: {(said or [None])[0] or error.__name__}"
            )
        made.append(str(name))
    return made


async def _configure(client: Any, topics: Sequence[Topic], brokers: int) -> None:
    if topics:
        await client.alter_configs(
            [
                ConfigResource(
                    ConfigResourceType.TOPIC, topic.name, configs=_config(topic, brokers)
                )
                for topic in topics
            ]
        )


def _config(topic: Topic, brokers: int) -> dict[str, str]:
    copies = min(topic.replication_factor, brokers)
    return {
        **topic.config,
        "min.insync.replicas": str(max(1, min(topic.min_insync_replicas, copies - 1))),
    }
