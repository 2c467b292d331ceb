"""Files that were uploaded, and whose they are until a ticket has them."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from waybill_intake.domain.words import ActorKind

ANY_PRODUCT = "*"
MOST_FILES = 20
"""How many files may come with an opening or a message."""


@dataclass(frozen=True, slots=True)
class Owner:
    """Whose an upload is: an agent by subject, a submitter by address, a product by its slug."""

    kind: ActorKind
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A file; while `ticket_id` is None it waits, until `expires_at`."""

    id: UUID
    filename: str
    media_type: str
    size_bytes: int
    sha256: str
    created_at: datetime
    owner_kind: ActorKind
    owner: str
    products: tuple[str, ...] = ()
    """Those that the token of an uploading product covered."""
    expires_at: datetime | None = None
    ticket_id: UUID | None = None
    message_id: UUID | None = None
    internal: bool = False
    """Whether it hangs on a note: then it is as internal as that."""

    def belongs_to(self, owner: Owner) -> bool:
        """Whether they may attach it."""
        if self.owner_kind is not owner.kind:
            return False
        if owner.kind is ActorKind.PRODUCT:
            return owner.id in self.products or ANY_PRODUCT in self.products
        return self.owner == owner.id
