"""An upload: checked and hashed on its way into the store, of which a breaking off leaves nothing.

The order is what keeps rows and objects together. Before the first byte is stored the object
counts as stray; once it is whole, one transaction takes it from the strays and writes its row.
What dies in between is swept.
"""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Collection
from contextlib import aclosing
from dataclasses import dataclass
from datetime import timedelta
from uuid import UUID

import structlog
from waybill_chassis.database import Database
from waybill_chassis.problems import Problem, TooLarge, TooManyRequests, invalid_field

from waybill_intake.attachments.form import FIELD, SentFile
from waybill_intake.attachments.kinds import HEAD_BYTES, checked
from waybill_intake.attachments.names import cleaned
from waybill_intake.attachments.objects import Objects
from waybill_intake.domain.attachments import Owner
from waybill_intake.store import attachments as store

_BLOCK_BYTES = 1024 * 1024
"""What is hashed and handed on at once."""
LONGEST = timedelta(minutes=10)
"""How long an upload may take. Its object counts as stray only well after that."""
_STRAY_AFTER = 3 * LONGEST

log = structlog.get_logger(__name__)


class TooSlow(Problem):
    """An upload that did not end in time."""

    status = 408
    title = "Upload too slow"
    code = "DEADLINE_EXCEEDED"


@dataclass(frozen=True, slots=True)
class Limits:
    """What is taken: bytes a file, media types, files of one owner that wait to be attached."""

    bytes: int
    types: Collection[str]
    waiting: int


@dataclass(frozen=True, slots=True)
class Received:
    """A file that lies in the store, whole."""

    id: UUID
    filename: str
    media_type: str
    size_bytes: int
    sha256: str


async def receive(
    id: UUID,
    sent: SentFile,
    body: AsyncIterator[bytes],
    *,
    owner: Owner,
    limits: Limits,
    database: Database,
    objects: Objects,
) -> Received:
    """Take a file in. Whoever gets it gives it its row, or gives it up with `abandon`."""
    passing = _Passing(sent, limits)
    async with aclosing(sent.content(_timed(body))) as content:
        await passing.begin(content)
        async with database.unit_of_work() as uow:
            if await store.waiting(uow.connection, owner) >= limits.waiting:
                raise TooManyRequests(
                    f"You have {limits.waiting} uploads that are attached to nothing: "
                    "attach them, or wait until they end.",
                    headers={"Retry-After": "3600"},
                )
            await store.begin(uow, id, uow.now + _STRAY_AFTER)
        try:
            await objects.write(id, passing.blocks(content))
        except Exception:
            await abandon(id, database, objects)
            raise
    return Received(
        id, passing.filename, passing.media_type, passing.size, passing.sha256.hexdigest()
    )


async def abandon(id: UUID, database: Database, objects: Objects) -> None:
    """Leave nothing of an upload, unless it has its row already. The sweep does it otherwise."""
    try:
        async with database.unit_of_work() as uow:
            if not await store.doom(uow, id):
                return
        await objects.delete(id)
        async with database.unit_of_work() as uow:
            await store.forget(uow, [id])
    except Exception as error:  # noqa: BLE001 - whatever it is, the sweep is the second try
        log.warning("upload_not_cleaned", error=f"{type(error).__name__}: {error}"[:300])


async def _timed(body: AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """The body, as long as it comes in time. The store would not be stopped from outside."""
    deadline = asyncio.get_running_loop().time() + LONGEST.total_seconds()
    while True:
        try:
            async with asyncio.timeout_at(deadline):
                chunk = await anext(body, None)
        except TimeoutError:
            raise TooSlow(f"An upload may take {LONGEST.seconds // 60} minutes.") from None
        if chunk is None:
            return
        yield chunk


class _Passing:
    """A file on its way through: what is known of it so far."""

    def __init__(self, sent: SentFile, limits: Limits) -> None:
        self._sent = sent
        self._limits = limits
        self._head = b""
        self.filename = ""
        self.media_type = ""
        self.size = 0
        self.sha256 = hashlib.sha256()

    async def begin(self, content: AsyncGenerator[bytes, None]) -> None:
        """Read as much as tells what it is, and refuse what is not taken."""
        head = bytearray()
        while len(head) < HEAD_BYTES and (chunk := await anext(content, None)) is not None:
            if not head:
                self.filename = cleaned(self._sent.filename or "")
            head += chunk
        if not head:
            raise invalid_field(FIELD, "is empty")
        self._head = bytes(head)
        self.media_type = checked(
            self._head[:HEAD_BYTES], self.filename, self._sent.claimed, self._limits.types
        )

    async def blocks(self, content: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
        """The whole file, counted and hashed."""
        block = bytearray(self._head)
        self._count(len(block))
        async for chunk in content:
            self._count(len(chunk))
            block += chunk
            if len(block) >= _BLOCK_BYTES:
                self.sha256.update(block)
                yield bytes(block)
                block.clear()
        self.sha256.update(block)
        yield bytes(block)

    def _count(self, more: int) -> None:
        self.size += more
        if self.size > self._limits.bytes:
            most = self._limits.bytes
            raise TooLarge(f"A file may have at most {most} bytes.", limit_bytes=most)
