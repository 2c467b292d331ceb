"""Links by which a file can be read without a token until they end.

A signature is the first 128 bits of an HMAC-SHA256 over the attachment's id and the end, in
URL-safe base64. The key lies in the database, so that every replica makes and takes the same ones.
"""

import base64
import hashlib
import hmac
import struct
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from waybill_intake.store import tickets

_FORMAT = struct.Struct(">16sQ")
_MAC_BYTES = 16
_LATEST = 4_102_444_800  # the year 2100


class FileSigner:
    """Makes and reads the links."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    async def load(cls, connection: AsyncConnection) -> "FileSigner":
        """The signer with the key that all replicas share."""
        return cls(await tickets.secret(connection, "attachment_links"))

    def path(self, id: UUID, expires_at: datetime) -> str:
        """The path that gives the file until then, rounded down to a second."""
        seconds = int(expires_at.timestamp())
        return f"/v1/attachments/{id}?expires={seconds}&sig={self._mac(id, seconds)}"

    def holds(self, id: UUID, expires: int, signature: str, now: datetime) -> bool:
        """Whether the signature is ours and the link has not ended."""
        if not 0 <= expires <= _LATEST or not signature.isascii():
            return False
        ours = hmac.compare_digest(signature, self._mac(id, expires))
        return ours and now <= datetime.fromtimestamp(expires, UTC)

    def _mac(self, id: UUID, seconds: int) -> str:
        mac = hmac.digest(self._key, _FORMAT.pack(id.bytes, seconds), hashlib.sha256)
        return base64.urlsafe_b64encode(mac[:_MAC_BYTES]).rstrip(b"=").decode()
