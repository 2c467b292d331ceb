"""A stack under load whose processes are killed and frozen at random, and what it holds after.

WAYBILL_CHAOS_SECONDS says how long (30 s unless set), WAYBILL_CHAOS_SEED repeats the choices of
a run, and WAYBILL_CHAOS_SERVERS=1 lets broker, database, gateway and mail server be hit too.
"""

import asyncio
import os
import random
import secrets
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from waybill_cli.testing import Stack, running_stack

from .facts import Facts, gather, rows, settled
from .killing import Killer
from .load import HURRIED, Load, Ticket, plan

SECONDS = float(os.environ.get("WAYBILL_CHAOS_SECONDS") or 30)
SEED = int(os.environ.get("WAYBILL_CHAOS_SEED") or secrets.randbelow(10**6))
SERVERS = os.environ.get("WAYBILL_CHAOS_SERVERS", "") not in ("", "0")
RATE = 6.0
"""Tickets a second."""
SETTLE_SECONDS = 150.0

REPLICAS = "intake=2,sla=2,notify=2"
SHORT = {
    "WAYBILL_SLA_REMINDER_1": "PT4S",
    "WAYBILL_SLA_REMINDER_2": "PT8S",
    "WAYBILL_SLA_AUTO_CLOSE_AWAITING": "PT13S",
    "WAYBILL_SLA_AUTO_CLOSE_RESOLVED": "PT9S",
    # What a killed sender had at hand is sent again after its lease.
    "WAYBILL_NOTIFY_SMTP_TIMEOUT_SECONDS": "3",
    "WAYBILL_NOTIFY_LEASE_SECONDS": "8",
    "WAYBILL_NOTIFY_RETRY_FIRST_SECONDS": "1",
}

# The targets of the hurried: all their deadlines fall into the run.
RESPONSE_SECONDS, RESOLUTION_SECONDS = 6, 14
_TARGETS = f'{{"response": "PT{RESPONSE_SECONDS}S", "resolution": "PT{RESOLUTION_SECONDS}S"}}'
_POLICY = f"""
    WITH made AS (
        INSERT INTO policies (id, name, version, product, type)
        VALUES (gen_random_uuid(), 'chaos', 1, 'demo', '{HURRIED}') RETURNING id)
    INSERT INTO policy_versions (policy_id, version, targets)
    SELECT id, 1, jsonb_object_agg(priority, CAST('{_TARGETS}' AS jsonb))
    FROM made, unnest(ARRAY['urgent', 'high', 'medium', 'low']) AS priority
    GROUP BY id
"""


@dataclass(frozen=True, slots=True)
class Aftermath:
    """What was done, and what is there now that it is quiet."""

    stack: Stack
    tickets: list[Ticket]
    killer: Killer
    troubles: Counter[str]
    """What made clients try again, and how often."""
    facts: Facts


@pytest.fixture(scope="module")
def aftermath(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Aftermath]:
    """The stack after the run, everything up again and settled."""
    folder = tmp_path_factory.mktemp("chaos")
    with running_stack(folder, "--replicas", REPLICAS, **SHORT) as stack:
        yield asyncio.run(_chaos(stack))


async def _chaos(stack: Stack) -> Aftermath:
    await rows(stack.settings, "sla", _POLICY)
    tickets = plan(int(SECONDS * RATE), f"w{secrets.token_hex(3)}")
    load = Load(stack.settings, tickets, SECONDS)
    killer = Killer(stack, random.Random(SEED), servers=SERVERS)
    try:
        await asyncio.gather(load.run(), killer.run(SECONDS))
    finally:
        _say(f"seed {SEED}", *killer.story)
    _say(f"clients tried again after {dict(load.clients.troubles) or 'nothing'}")
    seconds = await settled(stack.settings, SETTLE_SECONDS)
    _say(f"settled {seconds:.1f} s after everything was up")
    facts = await gather(stack.settings)
    return Aftermath(stack, tickets, killer, load.clients.troubles, facts)


def _say(*lines: str) -> None:
    """For whoever reads the output of a failed run, or looks on with -s."""
    for line in lines:
        print(line, file=sys.stderr)
