"""Topics on a real broker: made once, configured always, never repartitioned."""

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from waybill_cli import topics
from waybill_cli.errors import StackError


async def configured(bootstrap_servers: str, name: str) -> dict[str, str]:
    client = AIOKafkaAdminClient(bootstrap_servers=bootstrap_servers)
    await client.start()
    try:
        (answer,) = await client.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name)])
        return {entry[0]: entry[1] for entry in answer.resources[0][4]}
    finally:
        await client.close()


async def test_topics_are_made_once_configured_again_and_never_repartitioned(kafka: str) -> None:
    product = f"p{uuid4().hex[:12]}"
    requests, feed = wanted = topics.declared().for_product(product)
    assert await topics.ensure(kafka, wanted) == [requests.name, feed.name]
    assert await topics.ensure(kafka, wanted) == []
    assert (await configured(kafka, feed.name))["retention.ms"] == feed.config["retention.ms"]

    shorter = replace(feed, config={**feed.config, "retention.ms": "3600000"})
    await topics.ensure(kafka, [shorter])
    async with asyncio.timeout(20):  # the broker applies it a moment after it has said yes
        while (await configured(kafka, feed.name))["retention.ms"] != "3600000":
            await asyncio.sleep(0.05)

    with pytest.raises(StackError, match="fixed for life"):
        await topics.ensure(kafka, [replace(requests, partitions=requests.partitions + 1)])


async def test_a_broker_that_is_away_is_said_in_one_line() -> None:
    with pytest.raises(StackError, match=r"topics on 127\.0\.0\.1:1: "):
        await topics.ensure("127.0.0.1:1", topics.declared().all())
