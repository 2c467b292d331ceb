"""Creates that may be sent twice: an `Idempotency-Key` is stored together with its effect."""

import asyncio
import hashlib
import re
from asyncio import Lock
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Annotated

from fastapi import Depends, Header, Request
from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from starlette.responses import Response

from waybill_chassis.auth import Principal
from waybill_chassis.database import Database, UnitOfWork
from waybill_chassis.http.callers import Caller
from waybill_chassis.http.state import equipment_of
from waybill_chassis.problems import Conflict, Invalid, Malformed

KEPT = timedelta(hours=24)
"""For how long an answer is repeated."""

WAIT_SECONDS = 10.0
"""How long a request waits for another one with its key."""

Effect = Callable[[UnitOfWork], Awaitable[Response]]

_KEY = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,253}[\x21-\x7e])?")
_KEPT_HEADERS = ("content-type", "etag", "location")
_PRUNED_AT_ONCE = 5000

_CLAIM = text(
    """
    INSERT INTO idempotency_keys (scope, key, body_sha256, created_at)
    VALUES (:scope, :key, :body_sha256, :now) ON CONFLICT DO NOTHING RETURNING true
    """
)
_STORED = text(
    "SELECT body_sha256, status, headers, body FROM idempotency_keys "
    "WHERE scope = :scope AND key = :key"
)
_KEEP = text(
    """
    UPDATE idempotency_keys SET status = :status, headers = CAST(:headers AS jsonb), body = :body
    WHERE scope = :scope AND key = :key
    """
)
_CLAIM_ALL = text(
    """
    INSERT INTO idempotency_keys (scope, key, body_sha256, created_at)
    SELECT scope, key, body_sha256, CAST(:now AS timestamptz) FROM unnest(
        CAST(:scopes AS text[]), CAST(:keys AS text[]), CAST(:digests AS bytea[])
    ) AS c (scope, key, body_sha256)
    ORDER BY scope, key ON CONFLICT DO NOTHING RETURNING scope, key
    """
)
# The keys are there, taken in the same transaction. Said as an insert, since that finds each by its
# index whatever the planner believes of the table: a join walked over all of a new one.
_KEEP_ALL = text(
    """
    INSERT INTO idempotency_keys AS i (scope, key, body_sha256, status, headers, body, created_at)
    SELECT scope, key, '', status, CAST(headers AS jsonb), body, CAST(:now AS timestamptz)
    FROM unnest(
        CAST(:scopes AS text[]), CAST(:keys AS text[]), CAST(:status AS smallint[]),
        CAST(:headers AS text[]), CAST(:bodies AS bytea[])
    ) AS a (scope, key, status, headers, body)
    ON CONFLICT (scope, key) DO UPDATE
    SET status = excluded.status, headers = excluded.headers, body = excluded.body
    """
)
_PRUNE = text(
    """
    DELETE FROM idempotency_keys WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM idempotency_keys WHERE created_at < :before LIMIT :most
        FOR UPDATE SKIP LOCKED))
    """
)


@dataclass(frozen=True, slots=True)
class Claim:
    """A key that a request takes, where it counts, and for which body."""

    scope: str
    key: str
    body_sha256: bytes


Share = Callable[[Claim, Callable[[], Awaitable[Response]]], Awaitable[Response]]
"""Runs a request's effect together with others', or alone as the second argument does."""


class Once:
    """Runs an effect in a unit of work of its own, and once only for each Idempotency-Key."""

    def __init__(self, request: Request, caller: Principal, key: str | None) -> None:
        """`key` is None when the caller sent none: then nothing is remembered."""
        self._request = request
        self._caller = caller
        self._key = key

    async def __call__(
        self,
        effect: Effect,
        *,
        body_sha256: bytes | None = None,
        keep: bool = True,
        share: Share | None = None,
    ) -> Response:
        """What `effect` answers, or what it answered the first time.

        An effect that raises leaves nothing behind, so the same key may be tried again. The
        body's hash need only be given for a body that was read as a stream. Without `keep` the
        answer is a look at what would be, and nothing is remembered. With `share` a request that
        has a key may be answered together with others.
        """
        equipment = equipment_of(self._request)
        if equipment.database is None:
            raise RuntimeError("this app was made without a database")
        if self._key is None or not keep:
            async with equipment.database.unit_of_work(keep=keep) as uow:
                return await effect(uow)
        digest = body_sha256 or hashlib.sha256(await self._request.body()).digest()
        who = self._caller.address or self._caller.subject
        scope = scope_of(who, self._request.method, self._request.scope["path"])
        lock = equipment.key_locks.setdefault((scope, self._key), Lock())
        async with _held(lock):
            alone = partial(run_once, equipment.database, scope, self._key, digest, effect)
            if share is None:
                return await alone()
            return await share(Claim(scope, self._key, digest), alone)


def scope_of(who: str, method: str, path: str) -> str:
    """Where a key counts: the same key of somebody else, or for something else, is another one.

    It begins with a digest of `who`, by which an erased person's answers are found.
    """
    digest = hashlib.sha256(f"{method}\0{path}".encode()).hexdigest()
    return f"{hashlib.sha256(who.encode()).hexdigest()}:{digest}"


async def run_once(
    database: Database, scope: str, key: str, body_sha256: bytes, effect: Effect
) -> Response:
    """Run `effect` and store its answer in the same transaction, or repeat the stored answer.

    A request with the same key that is under way elsewhere is waited for: the key's row is its
    lock. `Invalid` when the key was used for another body, `Conflict` when the wait is too long.
    """
    here = {"scope": scope, "key": key}
    async with database.unit_of_work() as uow:
        claim = here | {"body_sha256": body_sha256, "now": uow.now}
        for _ in range(3):
            try:
                claimed = (await uow.execute(_CLAIM, claim)).first()
            except DBAPIError as error:
                if getattr(error.orig, "sqlstate", None) == "55P03":
                    raise _still_running() from None
                raise
            if claimed:
                response = await effect(uow)
                answer = {"status": response.status_code, "headers": _kept_headers(response)}
                uow.later(_KEEP, here | answer | {"body": bytes(response.body)})
                return response
            stored = (await uow.execute(_STORED, here)).first()
            # Gone again when it was pruned in between: then the key is free.
            if stored is not None:
                return _repeated(bytes(stored.body_sha256), body_sha256, stored)
    raise _still_running()


async def claim_all(uow: UnitOfWork, claims: Sequence[Claim]) -> Collection[Claim]:
    """Take these keys, each for another request; those that are taken already are left out."""
    rows = await uow.execute(
        _CLAIM_ALL,
        {
            "scopes": [claim.scope for claim in claims],
            "keys": [claim.key for claim in claims],
            "digests": [claim.body_sha256 for claim in claims],
            "now": uow.now,
        },
    )
    claimed = {(row.scope, row.key) for row in rows}
    return {claim for claim in claims if (claim.scope, claim.key) in claimed}


def keep_all(uow: UnitOfWork, answers: Sequence[tuple[Claim, Response]]) -> None:
    """Keep what is answered to those that took a key."""
    responses = [response for _, response in answers]
    uow.later(
        _KEEP_ALL,
        {
            "scopes": [claim.scope for claim, _ in answers],
            "keys": [claim.key for claim, _ in answers],
            "status": [response.status_code for response in responses],
            "headers": [_kept_headers(response) for response in responses],
            "bodies": [bytes(response.body) for response in responses],
            "now": uow.now,
        },
    )


def _kept_headers(response: Response) -> str:
    headers = response.headers
    kept = {name: headers[name] for name in _KEPT_HEADERS if name in headers}
    return to_json(kept).decode()


def _repeated(first: bytes, now: bytes, stored: object) -> Response:
    if first != now:
        raise Invalid(
            "This Idempotency-Key was used for another body: take a new key for a new request.",
            errors=[{"field": "Idempotency-Key", "message": "must be new for a new body"}],
        )
    response = Response(stored.body, stored.status, headers=stored.headers)  # type: ignore[attr-defined]
    response.headers["Idempotent-Replayed"] = "true"
    return response


@asynccontextmanager
async def _held(lock: Lock) -> AsyncIterator[None]:
    try:
        # A timer for each request would be dear: hardly any has to wait.
        async with asyncio.timeout(WAIT_SECONDS) if lock.locked() else nullcontext():
            await lock.acquire()
    except TimeoutError:
        raise _still_running() from None
    try:
        yield
    finally:
        lock.release()


def _still_running() -> Conflict:
    return Conflict(
        "A request with this Idempotency-Key is still under way: send it again in a moment.",
        headers={"Retry-After": "2"},
    )


async def prune(database: Database) -> int:
    """Forget the keys that are older than a day; returns how many."""
    total = 0
    while True:
        async with database.unit_of_work() as uow:
            gone = await uow.execute(_PRUNE, {"before": uow.now - KEPT, "most": _PRUNED_AT_ONCE})
        total += gone.rowcount
        if gone.rowcount < _PRUNED_AT_ONCE:
            return total


async def _once(
    request: Request,
    caller: Caller,
    key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            description="The same key and body gets the same answer for 24 hours.",
        ),
    ] = None,
) -> Once:
    if key is not None and not _KEY.fullmatch(key):
        message = "must be 1 to 255 printable ASCII characters"
        raise Malformed(
            f"Idempotency-Key {message}.",
            errors=[{"field": "Idempotency-Key", "message": message}],
        )
    return Once(request, caller, key)


RunOnce = Annotated[Once, Depends(_once)]
"""Runs an effect at most once for each Idempotency-Key of the caller."""
