"""Where the files' bytes lie: a folder, S3, Google's or Azure's store, all behind obstore."""

import asyncio
import os
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import url2pathname
from uuid import UUID

import obstore
import structlog
from obstore.exceptions import BaseError
from obstore.store import LocalStore, ObjectStore, from_url
from waybill_chassis.ids import parse_id
from waybill_chassis.problems import Unavailable

SCHEMES = ("file", "s3", "gs", "az", "memory")
_PART_BYTES = 5 * 1024 * 1024
"""The least that S3 takes as a part of an object; two are in memory at most."""
_READ_BYTES = 256 * 1024
_LISTED_AT_ONCE = 1000
# For the whole of a request: a file may be long, and whoever reads it slow. Whether the store is
# spoken to in the clear is said by its address, such as AWS_ENDPOINT_URL, and by nothing else.
_CLIENT = {"timeout": "900s", "connect_timeout": "5s", "allow_http": True}

log = structlog.get_logger(__name__)


class Objects:
    """The store, opened when it is first used, so that only who uses it needs it.

    An object appears whole or not at all; its name is its attachment's id, below the last two
    digits, so that no folder grows too long.
    """

    def __init__(self, url: str, folder: Path, *, retry_seconds: float = 10.0) -> None:
        """`url` is `file:///...`, `s3://bucket/prefix`, `gs://...` or `az://...`; or the folder.

        A store that does not answer is asked again for `retry_seconds`.
        """
        parts = urlsplit(url)
        self._url = url
        self._folder = None
        if parts.scheme in ("", "file"):
            self._folder = (Path(url2pathname(parts.path)) if url else folder).absolute()
        self._retry = {"retry_timeout": timedelta(seconds=retry_seconds)}
        self._opened: ObjectStore | None = None

    async def write(self, id: UUID, content: AsyncIterator[bytes]) -> None:
        """Write an object as it comes in. What `content` raises comes through; nothing stays."""
        first, second = await anext(content, b""), await anext(content, None)
        with _told("write"):
            if second is None:
                # In one request, where the other way takes three.
                await obstore.put_async(self._store(), _key(id), first, use_multipart=False)
            else:
                await obstore.put_async(
                    self._store(),
                    _key(id),
                    _joined(first, second, content),
                    chunk_size=_PART_BYTES,
                    max_concurrency=2,
                )
            if self._folder is not None:
                await asyncio.to_thread(_sync, self._folder / _key(id))

    async def read(self, id: UUID, start: int, end: int) -> AsyncGenerator[bytes, None] | None:
        """The bytes from `start` to before `end`; None where there is no such object."""
        with _told("read"):
            try:
                found = await obstore.get_async(
                    self._store(), _key(id), options={"range": (start, end)}
                )
            except FileNotFoundError:
                return None

        async def chunks() -> AsyncGenerator[bytes, None]:
            async for chunk in found.stream(min_chunk_size=_READ_BYTES):
                yield bytes(chunk)

        return chunks()

    async def delete(self, id: UUID) -> None:
        """Delete an object and what a process that died has left of it, if there is any."""
        with _told("delete"):
            with suppress(FileNotFoundError):
                await obstore.delete_async(self._store(), _key(id))
            if self._folder is not None:
                await asyncio.to_thread(_unlink, self._folder, f"{_key(id)}#*")

    async def listed(self) -> AsyncIterator[list[tuple[UUID, datetime]]]:
        """All that bear an id for a name, whole or begun, with their last change; in batches."""
        with _told("list"):
            if self._folder is not None:
                for batch in await asyncio.to_thread(_found_in, self._folder):
                    yield batch
                return
            async for metas in obstore.list(self._store(), chunk_size=_LISTED_AT_ONCE):
                named = [(_id_of(meta["path"]), meta["last_modified"]) for meta in metas]
                yield [(id, at) for id, at in named if id is not None]

    def _store(self) -> ObjectStore:
        if self._opened is None:
            if self._folder is not None:
                self._opened = LocalStore(self._folder, mkdir=True)
            else:
                options: dict[str, Any] = {}
                if not self._url.startswith("memory"):
                    options = {"client_options": _CLIENT, "retry_config": self._retry}
                self._opened = from_url(self._url, **options)
        return self._opened


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Whatever the store says against it means that it is away; why is for the operator."""
    try:
        yield
    except (BaseError, OSError) as error:
        log.warning("object_store", doing=what, error=f"{type(error).__name__}: {error}"[:500])
        raise Unavailable("The store of the attachments is not available at the moment.") from error


async def _joined(first: bytes, second: bytes, rest: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    yield first
    yield second
    async for block in rest:
        yield block


def _key(id: UUID) -> str:
    return f"{id.hex[-2:]}/{id}"


def _id_of(path: str) -> UUID | None:
    return parse_id(path.rpartition("/")[2].partition("#")[0])


def _sync(path: Path) -> None:
    """Have the disk keep a file and its name: a power cut must not leave a row without it."""
    for each in (path, path.parent, path.parent.parent):
        descriptor = os.open(each, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _unlink(folder: Path, pattern: str) -> None:
    for path in folder.glob(pattern):
        path.unlink(missing_ok=True)


def _found_in(folder: Path) -> list[list[tuple[UUID, datetime]]]:
    found = []
    for path in folder.glob("??/*"):
        id = _id_of(path.as_posix())
        try:
            changed = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        except FileNotFoundError:
            continue
        if id is not None:
            found.append((id, changed))
    return [found[at : at + _LISTED_AT_ONCE] for at in range(0, len(found), _LISTED_AT_ONCE)]
