"""A product opens a ticket on its topic and prints what its feed says until it is closed."""

import asyncio
import json
import os
import sys
from uuid import uuid4

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

BROKER = os.environ.get("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:19092")
REQUESTS, FEED = "waybill.requests.demo.v1", "waybill.feed.demo.v1"
STRUCTURED = [("content-type", b"application/cloudevents+json")]


async def main(title: str) -> None:
    """Ask with one JSON CloudEvent, then follow the feed."""
    ref = str(uuid4())
    data = {"type": "technical", "title": title, "description": title, "external_ref": ref}
    kind = "waybill.intake.v1.TicketRequested"
    event = {"specversion": "1.0", "id": ref, "source": "/demo", "type": kind, "data": data}
    value = json.dumps(event).encode()
    feed = AIOKafkaConsumer(FEED, bootstrap_servers=BROKER)
    async with feed, AIOKafkaProducer(bootstrap_servers=BROKER) as producer:
        await feed.seek_to_end()
        await producer.send_and_wait(REQUESTS, value, key=ref.encode(), headers=STRUCTURED)
        async for record in feed:
            update = json.loads(record.value)
            if "rejection" in update and update["rejection"].get("request_id") == ref:
                raise SystemExit(update["rejection"]["reason"])
            ticket = update.get("ticket", {})
            if ticket.get("external_ref") == ref:
                who = ticket.get("assignee", "")
                print(ticket["number"], update["what"], ticket["status"], who, flush=True)
                if ticket["status"] == "closed":
                    return


if __name__ == "__main__":
    asyncio.run(main(" ".join(sys.argv[1:]) or "The nightly backup failed"))
