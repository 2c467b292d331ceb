"""A product opens a ticket on its topic and prints what its feed says until it is closed."""

import asyncio
import json
import os
import sys
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

BROKER = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:19092")


async def main(title: str) -> None:
    """Ask with one JSON CloudEvent, then follow the feed."""
    ref = str(uuid4())
    feed = AIOKafkaConsumer("waybill.feed.demo.v1", bootstrap_servers=BROKER)
    request = {
        "specversion": "1.0",
        "id": ref,
        "source": "/demo/alerts",
        "type": "waybill.intake.v1.TicketRequested",
        "data": {"type": "technical", "title": title, "description": title, "external_ref": ref},
    }
    async with feed, AIOKafkaProducer(bootstrap_servers=BROKER) as producer:
        await feed.seek_to_end()
        await producer.send_and_wait(
            "waybill.requests.demo.v1",
            json.dumps(request).encode(),
            key=ref.encode(),
            headers=[("content-type", b"application/cloudevents+json")],
        )
        async for record in feed:
            update = json.loads(record.value)
            ticket = update.get("ticket", {})
            if ref not in (ticket.get("external_ref"), update["cause"]["id"]):
                continue
            print(
                ticket.get("number", "no ticket"),
                update["what"],
                ticket.get("status", update.get("rejection", {}).get("reason")),
                ticket.get("assignee", ""),
                flush=True,
            )
            if ticket.get("status") == "closed" or update["what"] == "request_rejected":
                return


if __name__ == "__main__":
    asyncio.run(main(" ".join(sys.argv[1:]) or "The nightly backup failed"))
