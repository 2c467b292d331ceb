"""How many tickets a second the whole stack sustains on this machine, and what limits it.

Starts a stack of its own beside whatever runs, sends a burst through Kafka to find the rate of
each stage, then a steady stream at a share of that rate, half through REST and half through
Kafka, and sees whether the lag stays bounded. Run: `python bench/end_to_end.py`.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import psutil
from aiokafka import AIOKafkaProducer
from rich.console import Console
from rich.table import Table
from waybill_cli.local import keys
from waybill_cli.local.processes import recorded
from waybill_cli.local.settings import SERVICES, StackSettings
from waybill_cli.testing import new_stack

STAGES = {
    "accepted": ("intake", "SELECT count(*) FROM tickets"),
    "assigned": ("routing", "SELECT count(*) FROM assignments WHERE state = 'assigned'"),
    "clock running": ("sla", "SELECT count(*) FROM clocks"),
    "seen assigned": ("intake", "SELECT count(*) FROM ticket_facts WHERE agent_id IS NOT NULL"),
    "receipt sent": ("notify", "SELECT count(*) FROM deliveries WHERE state = 'delivered'"),
}
PARTS = ("kafka", "postgres", "gateway", "mail", *SERVICES)
console = Console(highlight=False)


@dataclass(frozen=True, slots=True)
class Stack:
    """A running stack and connections to its databases."""

    settings: StackSettings
    databases: Mapping[str, asyncpg.Pool]
    producer: AIOKafkaProducer
    http: httpx.AsyncClient

    async def count(self, stage: str) -> int:
        """How many tickets have passed a stage."""
        service, statement = STAGES[stage]
        return int(await self.databases[service].fetchval(statement))

    def cpu_seconds(self) -> dict[str, float]:
        """The processor time that each part has taken so far, its children included."""
        used = {}
        for part in PARTS:
            process = recorded(self.settings.run_dir, part)
            found = process.find() if process else None
            if found is not None:
                family = [found, *found.children(recursive=True)]
                used[part] = sum(sum(one.cpu_times()[:2]) for one in family if one.is_running())
        return used


def body(number: int, run: str) -> dict[str, Any]:
    """A ticket of its own person."""
    return {
        "type": "technical",
        "title": f"Card payment {number} was declined",
        "description": f"My card was declined in the shop, attempt {number} of {run}.",
        "priority": "medium",
        "submitter": {"email": f"{run}-{number}@example.com", "name": f"Person {number}"},
        "external_ref": f"{run}-{number}",
    }


async def by_kafka(stack: Stack, number: int, run: str) -> None:
    """Publish one request as a JSON CloudEvent."""
    headers = {
        "ce_specversion": "1.0",
        "ce_id": str(uuid4()),
        "ce_source": "/bench",
        "ce_type": "waybill.intake.v1.TicketRequested",
        "ce_time": datetime.now().astimezone().isoformat(),
        "content-type": "application/json",
    }
    await stack.producer.send(
        "waybill.requests.demo.v1",
        json.dumps(body(number, run)).encode(),
        key=f"{run}-{number}".encode(),
        headers=[(name, value.encode()) for name, value in headers.items()],
    )


async def by_rest(stack: Stack, number: int, run: str) -> None:
    """Open one ticket through the gateway."""
    asked = {k: v for k, v in body(number, run).items() if k != "external_ref"}
    answer = await stack.http.post(
        "/v1/tickets",
        json={**asked, "product": "demo"},
        headers={"Idempotency-Key": f"{run}-{number}"},
    )
    answer.raise_for_status()


async def burst(stack: Stack, size: int) -> float:
    """Send `size` requests at once; the rate at which the slowest stage got through, per second."""
    run = uuid4().hex[:8]
    before = {stage: await stack.count(stage) for stage in STAGES}
    cpu = stack.cpu_seconds()
    began = time.monotonic()
    for number in range(size):
        await by_kafka(stack, number, run)
    await stack.producer.flush()
    published = time.monotonic() - began
    done: dict[str, float] = {}
    while len(done) < len(STAGES) and time.monotonic() - began < 600:
        for stage in STAGES:
            if stage not in done and await stack.count(stage) - before[stage] >= size:
                done[stage] = time.monotonic() - began
        await asyncio.sleep(0.1)
    if len(done) < len(STAGES):
        raise SystemExit(f"not within 600 s: {', '.join(set(STAGES) - set(done))}")
    table = Table(title=f"A burst of {size} requests", box=None, title_justify="left")
    for title in ("stage", "s", "tickets/s"):
        table.add_column(title, justify="left" if title == "stage" else "right")
    table.add_row("published", f"{published:.1f}", f"{size / published:.0f}")
    for stage in STAGES:
        table.add_row(stage, f"{done[stage]:.1f}", f"{size / done[stage]:.0f}")
    console.print(table)
    _show_cpu(stack, cpu, size, max(done.values()))
    return size / max(done.values())


def _show_cpu(stack: Stack, before: Mapping[str, float], size: int, seconds: float) -> None:
    used = {part: now - before.get(part, 0.0) for part, now in stack.cpu_seconds().items()}
    cores = psutil.cpu_count() or 1
    table = Table(title="\nProcessor time", box=None, title_justify="left")
    for title in ("part", "ms a ticket", "share of a core"):
        table.add_column(title, justify="left" if title == "part" else "right")
    for part, spent in sorted(used.items(), key=lambda item: -item[1]):
        table.add_row(part, f"{1000 * spent / size:.2f}", f"{spent / seconds:.0%}")
    total = sum(used.values())
    table.add_row(f"all, of {cores} cores", f"{1000 * total / size:.2f}", f"{total / seconds:.0%}")
    console.print(table)
    busiest = max(used, key=lambda part: used[part])
    if total / seconds > 0.85 * cores:
        console.print(f"Limit: the machine's {cores} cores; most of it goes to {busiest}.\n")
    else:
        console.print(f"Limit: not the processor; the busiest part is {busiest}.\n")


async def steady(stack: Stack, rate: float, seconds: float) -> bool:
    """Send at `rate` a second, and see whether the lag of the second half is that of the first."""
    run = uuid4().hex[:8]
    size = int(rate * seconds)
    target = await stack.count("receipt sent") + size
    sent: dict[str, float] = {}
    tasks = []
    began = time.time()
    for number in range(size):
        await asyncio.sleep(max(0.0, began + number / rate - time.time()))
        sent[f"{run}-{number}@example.com"] = time.time()
        send = by_kafka if number % 2 else by_rest
        tasks.append(asyncio.create_task(send(stack, number, run)))
    await asyncio.gather(*tasks)
    offered = size / (time.time() - began)
    deadline = time.monotonic() + 120
    while await stack.count("receipt sent") < target and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
    rows = await stack.databases["notify"].fetch(
        "SELECT recipient, extract(epoch FROM delivered_at)::float8 AS at FROM deliveries"
        " WHERE recipient LIKE $1 AND state = 'delivered'",
        f"{run}-%",
    )
    waits = sorted((sent[row["recipient"]], row["at"] - sent[row["recipient"]]) for row in rows)
    table = Table(
        title=f"Steady: {offered:.0f} tickets/s for {seconds:.0f} s, half REST, half Kafka",
        box=None,
        title_justify="left",
    )
    for title in ("request to receipt, ms", "p50", "p95", "p99", "max"):
        table.add_column(title, justify="left" if title.startswith("request") else "right")
    half = len(waits) // 2
    for name, part in (("first half", waits[:half]), ("second half", waits[half:])):
        values = sorted(1000 * wait for _, wait in part)
        cuts = statistics.quantiles(values, n=100)
        figures = (cuts[49], cuts[94], cuts[98], values[-1])
        table.add_row(name, *(f"{figure:.0f}" for figure in figures))
    console.print(table)
    first, second = (
        statistics.median(wait for _, wait in part) for part in (waits[:half], waits[half:])
    )
    bounded = len(rows) == size and second < 1.25 * first + 0.1
    console.print(
        f"{len(rows)} of {size} receipts sent; the lag "
        + (
            f"stays bounded: {offered:.0f} tickets/s are sustained."
            if bounded
            else "GROWS: this rate is not sustained."
        )
    )
    return bounded


async def measure(settings: StackSettings, size: int, share: float, seconds: float) -> int:
    """Run both parts against the stack that `settings` describe."""
    token = keys.mint(
        settings.keys_dir, keys.Claims("bench", ["service"], ["demo"]), keys.parse_ttl("2h")
    )
    databases = {
        service: await asyncpg.create_pool(settings.database_url(service), min_size=1, max_size=2)
        for service in SERVICES
    }
    producer = AIOKafkaProducer(bootstrap_servers=settings.kafka, linger_ms=5)
    await producer.start()
    async with httpx.AsyncClient(
        base_url=settings.gateway_url,
        headers={"Authorization": f"Bearer {token}"},
        trust_env=False,
        timeout=30,
        limits=httpx.Limits(max_connections=32),
    ) as http:
        stack = Stack(settings, databases, producer, http)
        # The demonstration's agents hold 1,200 tickets; here they must never be the limit.
        await databases["routing"].execute("UPDATE agents SET capacity = 1000000")
        try:
            await burst(stack, max(100, size // 10))
            console.print("(that was the warm-up)\n")
            best = await burst(stack, size)
            bounded = await steady(stack, share * best, seconds)
            while not bounded and share > 0.15:
                share -= 0.1
                bounded = await steady(stack, share * best, seconds)
        finally:
            await producer.stop()
            for pool in databases.values():
                await pool.close()
    return 0 if bounded else 1


def main() -> int:
    """Read the command line, run, stop the stack; the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--burst", type=int, default=2000, help="requests in the burst")
    parser.add_argument("--share", type=float, default=0.6, help="of the burst's rate, steadily")
    parser.add_argument("--seconds", type=float, default=30, help="how long the steady part lasts")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="waybill-bench-") as folder:
        stack = new_stack(Path(folder))
        console.print("starting a stack")
        try:
            started = stack.run("up")
            if started.code != 0:
                raise SystemExit(started.err)
            return asyncio.run(
                measure(stack.settings, arguments.burst, arguments.share, arguments.seconds)
            )
        finally:
            stack.run("down")


if __name__ == "__main__":
    raise SystemExit(main())
