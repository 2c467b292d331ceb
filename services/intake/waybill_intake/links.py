"""Links by which a submitter can act without a token: signed, for one ticket and act, with an end.

A token is `version, act, ticket, expiry` and the first 128 bits of its HMAC-SHA256, in URL-safe
base64. The key lies in the database, so that every replica makes and takes the same ones.
"""

import base64
import binascii
import hashlib
import hmac
import struct
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from waybill_intake.domain.words import ActionKind
from waybill_intake.store import tickets

_FORMAT = struct.Struct(">BB16sQ")
_VERSION = 1
_MAC_BYTES = 16
_KINDS = tuple(ActionKind)


@dataclass(frozen=True, slots=True)
class ActionLink:
    """What a link lets its holder do."""

    kind: ActionKind
    ticket_id: UUID
    expires_at: datetime


class Signer:
    """Makes and reads the tokens."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    async def load(cls, connection: AsyncConnection) -> "Signer":
        """The signer with the key that all replicas share."""
        return cls(await tickets.secret(connection, "action_links"))

    def sign(self, link: ActionLink) -> str:
        """The token of a link; its end is rounded down to a second."""
        seconds = int(link.expires_at.timestamp())
        body = _FORMAT.pack(_VERSION, _KINDS.index(link.kind), link.ticket_id.bytes, seconds)
        return base64.urlsafe_b64encode(body + self._mac(body)).rstrip(b"=").decode()

    def read(self, token: str) -> ActionLink | None:
        """The link of a token, None if it is not ours. Whether it has ended is not asked."""
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return None
        body, mac = raw[: _FORMAT.size], raw[_FORMAT.size :]
        if len(body) < _FORMAT.size or not hmac.compare_digest(mac, self._mac(body)):
            return None
        version, kind, ticket_id, seconds = _FORMAT.unpack(body)
        if version != _VERSION or kind >= len(_KINDS):
            return None
        return ActionLink(_KINDS[kind], UUID(bytes=ticket_id), datetime.fromtimestamp(seconds, UTC))

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, hashlib.sha256)[:_MAC_BYTES]
