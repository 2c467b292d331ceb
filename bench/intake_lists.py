"""Whether lists, filters, searches and counts stay as fast however much is archived.

    python bench/intake_lists.py [--tickets 1000000] [--against 10000] [--rounds 12] [--file TEXTS]

Each kind of question is asked of two stores by HTTP, in turns, by whoever asks it in life: agents
of four products, leads of all, submitters. Texts are generated, or taken from a CSV whose first
column has some, or from a JSON as CLINC150's. The server comes from WAYBILL_TEST_POSTGRES_URL,
else one is started for the run.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode
from uuid import uuid4

import asyncpg
from _archive import fill, sentences
from sqlalchemy import text
from sqlalchemy.engine import make_url
from waybill_chassis.auth import Principal
from waybill_chassis.clock import ManualClock
from waybill_chassis.migrate import migrate
from waybill_chassis.testing import servers
from waybill_chassis.testing.services import TestedService, migrations_of, tested_service
from waybill_chassis.testing.tokens import Mint
from waybill_intake.bootstrap import build
from waybill_intake.http.filters import TicketFilter, default_order
from waybill_intake.settings import Settings
from waybill_intake.store.finding import reading
from waybill_intake.store.finding.asked import Order, Sort

OPEN = "status=pending&status=in_progress&status=awaiting_user&status=resolved"
OURS = ("shop", "bank", "app", "tiny")
NOW = datetime.now(UTC)


def ago(days: float) -> str:
    """A moment, as addresses have it."""
    return urlencode({"": (NOW - timedelta(days=days)).isoformat()})[1:]


LISTS = {
    "everything": "",
    "everything, oldest first": "order=asc",
    "everything, by change": "sort=updated",
    "everything, by urgency": "sort=priority",
    "everything, by due time": "sort=due",
    "an agent's own, by urgency": f"assignee=agent7@example.com&sort=priority&{OPEN}",
    "a queue, by due time": f"team=support&sort=due&{OPEN}",
    "unassigned, oldest first": "unassigned=true&order=asc",
    "open and breached": f"resolution_state=breached&{OPEN}",
    "awaiting users, by change": "status=awaiting_user&sort=updated&order=asc",
    "archive": "status=closed",
    "archive of a small product": "status=closed&product=tiny&sort=updated",
    "archive, low, by urgency": "status=closed&priority=low&sort=priority",
    "archive, by due time": "status=closed&sort=due",
    "a type, urgent or high": "type=technical&priority=urgent&priority=high",
    "closed as a duplicate": "type=complaint&close_reason=duplicate&sort=updated",
    "rated 1": "rating_from=1&rating_to=1",
    "rated 1 or 2, French": "rating_from=1&rating_to=2&language=fr&sort=updated",
    "five fields, few": "language=pl&rating_to=1&priority=urgent&channel=email&submitter_tier=gold",
    "a common tag": "tag=tag-0",
    "a tag": "tag=tag-40",
    "a rare tag": "tag=tag-399",
    "two tags": "tag_all=tag-3&tag_all=area-2",
    "one of three tags": "tag=tag-30&tag=tag-50&tag=tag-70",
    "an order": "order_ref=A-77",
    "an order nobody has": "order_ref=none",
    "an external reference": "external_ref=alert-78",
    "a custom field": "custom=plan%3Dgold",
    "two custom fields": "custom=plan%3Dgold&custom=seats%3D7",
    "watched": "watcher=ana@example.com",
    "planned suggestions": "outcome=planned",
    "at a level": "escalation_level=tech_team",
    "a gold submitter's": "submitter_tier=gold&priority=urgent",
    "a person's": "submitter=person3@example.com",
    "a person's closed": "submitter=person9@example.com&status=closed&sort=updated",
    "closed on a day": f"closed_from={ago(101)}&closed_to={ago(100)}",
    "created in a week, by change": f"created_from={ago(307)}&created_to={ago(300)}&sort=updated",
    "of the last days, by change": f"created_from={ago(3)}&sort=updated&order=asc",
    "closed long ago": f"closed_to={ago(600)}",
    "due within a day": f"due_to={ago(-1)}&sort=due",
}
SEARCHES = {
    "a word of one in ten": "q={tenth}",
    "a word of one in a hundred": "q={hundredth}",
    "a rare word": "q={rare}",
    "a word nobody wrote": "q=xyzzyq",
    "two words": "q={tenth}+{hundredth}",
    "a phrase": "q=%22{tenth}+{hundredth}%22",
    "a word or another": "q={hundredth}+or+{rare}",
    "a word without another": "q={hundredth}+-{tenth}",
    "a word, by change": "q={hundredth}&sort=updated",
    "a word, by urgency": "q={hundredth}&sort=priority",
    "a word, one product": "q={hundredth}&product=shop",
    "a word among the open": "q={tenth}&" + OPEN,
    "a word with a tag": "q={tenth}&tag=tag-0",
    "a word with a type": "q={hundredth}&type=order",
    "a word of a month": f"q={{hundredth}}&created_from={ago(430)}&created_to={ago(400)}",
}
OF_SUBMITTERS = {"one's own": "", "one's own, open": OPEN, "a word among one's own": "q={tenth}"}
OF_LEADS = {
    "all products": "",
    "all products, open, by urgency": f"sort=priority&{OPEN}",
    "all products, a word": "q={hundredth}",
}
LARGE = (
    "tickets", "submitters", "ticket_facts", "ticket_list_open", "ticket_list_closed",
    "ticket_text_open", "ticket_text_closed",
)  # fmt: skip


@dataclass
class Question:
    """A kind of question, and how long its answers took: small store, large store."""

    kind: str
    name: str
    query: str
    caller: Principal
    seconds: tuple[list[float], list[float]] = field(default_factory=lambda: ([], []))
    buffers: list[int] = field(default_factory=list)

    @property
    def path(self) -> str:
        """What is asked for."""
        return f"/v1/tickets{'/count' if self.kind == 'count' else ''}?{self.query}"

    def statement(self) -> tuple[str, dict[str, Any]]:
        """The query that answers it."""
        given = dict(parse_qs(self.query))
        sort = Sort(given.pop("sort", ["created"])[0])
        order = Order(given.pop("order", [default_order(sort)])[0])
        single = ("q", "unassigned", "rating_", "_from", "_to")
        plain = {
            name: values[0] if name.endswith(single) or name.startswith(single) else values
            for name, values in given.items()
        }
        wanted = TicketFilter.model_validate(plain).wanted(self.caller)
        if self.kind == "count":
            return reading.counting([wanted])
        return reading.statement(wanted, sort, order, None, 51)


def questions(words: Mapping[str, str]) -> list[Question]:
    """All kinds, each list with its count."""

    def of(roles: str, subject: str, products: Sequence[str]) -> Principal:
        return Principal(subject, subject, roles.title(), frozenset({roles}), frozenset(products))

    agent = of("agent", "ana@example.com", OURS)
    found = [
        (kind, name, query, caller)
        for kind, those, caller in (
            ("list", LISTS, agent),
            ("search", SEARCHES, agent),
            ("list", OF_SUBMITTERS, of("submitter", "person5@example.com", ())),
            ("list", OF_LEADS, of("lead", "lee@example.com", ("*",))),
        )
        for name, query in those.items()
    ]
    lists = [Question(kind, name, query.format(**words), who) for kind, name, query, who in found]
    return lists + [Question("count", one.name, one.query, one.caller) for one in lists]


@asynccontextmanager
async def store(
    postgres: str, tickets: int, texts: Sequence[str], mint: Mint
) -> AsyncIterator[TestedService[Settings]]:
    """Intake over a database with so many tickets, dropped afterwards."""
    name = f"bench_{uuid4().hex}"
    admin = await asyncpg.connect(postgres)
    await admin.execute(f"CREATE DATABASE {name}")
    url = make_url(postgres).set(database=name).render_as_string(hide_password=False)
    try:
        began = time.perf_counter()
        await migrate(url, migrations_of("intake"))
        connection = await asyncpg.connect(url, command_timeout=1800)
        await fill(connection, tickets, texts)
        await connection.close()
        print(f"{tickets:,} tickets in {time.perf_counter() - began:.0f} s", file=sys.stderr)
        async with tested_service(
            "intake", build, Settings, database_url=url, mint=mint, clock=ManualClock(NOW)
        ) as tested:
            yield tested
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close()


async def chosen_words(tested: TestedService[Settings]) -> dict[str, str]:
    """Words that one in ten tickets has, one in a hundred, one in some thousands."""
    async with tested.rt.database.reading() as connection:
        rows = await connection.execute(
            text(
                "SELECT word, ndoc / (SELECT count(*)::float FROM ticket_text_closed) AS share "
                "FROM ts_stat('SELECT document FROM ticket_text_closed') "
                "WHERE word ~ '^[a-z]{4,}$' ORDER BY word"
            )
        )
        shares = {row.word: row.share for row in rows}
    wanted = {"tenth": 0.1, "hundredth": 0.01, "rare": 0.0005}
    return {
        name: min(shares, key=lambda word: abs(shares[word] - share))
        for name, share in wanted.items()
    }


async def ask(tested: TestedService[Settings], question: Question) -> float:
    """How long an answer takes, in seconds."""
    who = question.caller
    headers = tested.mint.headers(*who.roles, sub=who.subject, products=tuple(sorted(who.products)))
    began = time.perf_counter()
    answer = await tested.client.get(question.path, headers=headers)
    took = time.perf_counter() - began
    assert answer.status_code == 200, (question.path, answer.text)
    return took


async def explain(tested: TestedService[Settings], question: Question) -> tuple[int, list[str]]:
    """The buffers that an answer takes, and the large tables that its plan reads whole."""
    query, parameters = question.statement()
    async with tested.rt.database.reading() as connection:
        await reading.prepare(connection)
        rows = await connection.execute(
            text(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {query}"), parameters
        )
        found = rows.scalar()
    plan = (json.loads(found) if isinstance(found, str) else found)[0]["Plan"]
    whole = [
        node["Relation Name"]
        for node in _nodes(plan)
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] in LARGE
    ]
    return plan["Shared Hit Blocks"] + plan["Shared Read Blocks"], whole


def _nodes(plan: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)


def quantile(seconds: Sequence[float], share: float) -> float:
    """In milliseconds."""
    return sorted(seconds)[min(int(len(seconds) * share), len(seconds) - 1)] * 1e3


def table(asked: Sequence[Question], sizes: Sequence[int]) -> None:
    """One line for each question, then one for each kind and one for all."""
    heads = [f"{size:,}" for size in sizes]
    print(f"{'':<44}{heads[0]:>18}{heads[1]:>20}")
    print(f"{'ms':<44}{'p50':>9}{'p95':>9}{'p50':>10}{'p95':>10}{'ratio':>8}{'buffers':>16}")
    groups = {
        kind: [one for one in asked if one.kind == kind] for kind in ("list", "search", "count")
    }
    for kind, ones in groups.items():
        for one in ones:
            buffers = f"{one.buffers[0]:,} {one.buffers[1]:>7,}"
            line(f"{kind}: {one.name}", one.seconds, buffers)
    print()
    for kind, ones in (*groups.items(), ("all", asked)):
        line(f"all of kind {kind}" if kind != "all" else "everything asked", _joined(ones))


def _joined(asked: Sequence[Question]) -> tuple[list[float], list[float]]:
    small = [took for one in asked for took in one.seconds[0]]
    large = [took for one in asked for took in one.seconds[1]]
    return small, large


def line(name: str, seconds: tuple[list[float], list[float]], note: str = "") -> None:
    """Medians and 95th percentiles of both stores, and the latters' ratio."""
    small, large = seconds
    p95 = quantile(small, 0.95), quantile(large, 0.95)
    print(
        f"{name:<44}{quantile(small, 0.5):>9.1f}{p95[0]:>9.1f}"
        f"{quantile(large, 0.5):>10.1f}{p95[1]:>10.1f}{p95[1] / p95[0]:>8.2f}{note:>16}"
    )


async def main(postgres: str, options: argparse.Namespace) -> None:
    """Fill, ask in turns, explain, print."""
    texts = sentences(options.file)
    sizes = (options.against, options.tickets)
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="waybill-bench-"))
        mint = Mint(Path(folder))
        stores = [
            await stack.enter_async_context(store(postgres, size, texts, mint)) for size in sizes
        ]
        asked = questions(await chosen_words(stores[0]))
        ratios = []
        for number in range(options.rounds + 1):
            for index, question in enumerate(asked):
                for which in (0, 1) if (number + index) % 2 else (1, 0):
                    took = await ask(stores[which], question)
                    if number:  # the first round warms up
                        question.seconds[which].append(took)
            if number:
                latest = [[one.seconds[which][-1] for one in asked] for which in (0, 1)]
                ratios.append(quantile(latest[1], 0.95) / quantile(latest[0], 0.95))
            print(f"round {number} of {options.rounds}", file=sys.stderr)
        whole = set()
        for question in asked:
            for tested in stores:
                buffers, tables = await explain(tested, question)
                question.buffers.append(buffers)
                whole |= {f"{question.kind} {question.name}: {name}" for name in tables}
        table(asked, sizes)
        print(
            f"p95 over all kinds of a round: {statistics.median(ratios):.2f} times that of the"
            f" small store (median of {len(ratios)} rounds; target 3 at most)"
        )
        print(f"large tables read from end to end: {', '.join(sorted(whole)) or 'none'}")
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--tickets", type=int, default=1_000_000)
    parser.add_argument("--against", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--file", type=Path, help="real texts instead of generated ones")
    chosen = parser.parse_args()
    with servers.database_server() as address:
        asyncio.run(main(address, chosen))
