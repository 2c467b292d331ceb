"""Settings that are kept in the database: changed while services run, heard by all replicas.

A document holds what somebody has set. What it leaves out is as the environment says, else as the
model says. The service's own document has the scope "", a product's has the product's name.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

import structlog
from pydantic import BaseModel, ValidationError
from pydantic_core import to_json
from sqlalchemy import text
from sqlalchemy.engine import Connection
from sqlalchemy.ext.asyncio import AsyncConnection

from waybill_chassis.clock import Clock

if TYPE_CHECKING:
    from waybill_chassis.database import UnitOfWork

M = TypeVar("M", bound=BaseModel)

FRESH = timedelta(seconds=1)
"""For how long the last reading counts: that late a change is heard by the other replicas."""

log = structlog.get_logger(__name__)

_TABLE = """
CREATE TABLE settings (
    scope text PRIMARY KEY,
    version bigint NOT NULL,
    document jsonb NOT NULL,
    changed_at timestamptz NOT NULL,
    changed_by text NOT NULL
)
"""
# Rows are never removed and versions only rise: their sum is the same only if nothing has changed.
_CHANGED = text(
    """
    SELECT scope, version, document, changed_at, changed_by FROM settings
    WHERE (SELECT CAST(coalesce(sum(version), 0) AS bigint) FROM settings) <> :stamp
    """
)
_LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('settings/' || :scope, 0))")
_READ = text("SELECT version, document, changed_at, changed_by FROM settings WHERE scope = :scope")
_WRITE = text(
    """
    INSERT INTO settings (scope, version, document, changed_at, changed_by)
    VALUES (:scope, :version, CAST(:document AS jsonb), :changed_at, :changed_by)
    ON CONFLICT (scope) DO UPDATE SET version = excluded.version, document = excluded.document,
        changed_at = excluded.changed_at, changed_by = excluded.changed_by
    """
)


def create_settings_table(connection: Connection) -> None:
    """A step of the migration with which a service begins to keep settings."""
    connection.execute(text(_TABLE))


@dataclass(frozen=True, slots=True)
class Stored:
    """A document with its version, 0 where nobody has set anything."""

    version: int = 0
    document: Mapping[str, Any] = field(default_factory=dict)
    changed_at: datetime | None = None
    changed_by: str | None = None


class Snapshot:
    """All settings as they stood at one moment, for a whole request or batch."""

    def __init__(
        self,
        documents: Mapping[str, Stored] = MappingProxyType({}),
        defaults: object = None,
        before: "Snapshot | None" = None,
    ) -> None:
        """`defaults` are the environment's settings; what is as `before` is not made anew."""
        self._documents = documents
        self._defaults = defaults
        self.stamp = sum(stored.version for stored in documents.values())
        self.memo: dict[str, Any] = {}
        """What a service worked out while these settings are in force; gone with any change."""
        self._made: dict[tuple[type[BaseModel], str | None], BaseModel] = {}
        if before is not None:
            self._made = {
                key: made
                for key, made in before._made.items()
                if key[1] is None or before._documents[key[1]] == documents.get(key[1])
            }

    @property
    def scopes(self) -> Iterable[str]:
        """Those in which somebody has set something."""
        return self._documents.keys()

    def of(self, model: type[M], scope: str = "") -> M:
        """The settings of a scope.

        What another version of the service wrote and does not fit is left out, with a warning.
        """
        stored = self._documents.get(scope)
        # What nobody has set is the same for all: strangers' names fill no memory.
        key = (model, scope if stored else None)
        made = self._made.get(key)
        if made is None:
            made = self._made[key] = self._make(
                model, scope, dict(stored.document if stored else {})
            )
        assert isinstance(made, model)
        return made

    def _make(self, model: type[M], scope: str, document: dict[str, Any]) -> M:
        try:
            return fitting(model, document, self._defaults)
        except ValidationError as error:
            if not document:
                raise
            wrong = {str(found["loc"][0]) for found in error.errors() if found["loc"]}
            wrong = (wrong & document.keys()) or set(document)
            log.warning("kept settings do not fit", scope=scope, left_out=sorted(wrong))
            known = {name: value for name, value in document.items() if name not in wrong}
            return self._make(model, scope, known)


def fitting(model: type[M], document: Mapping[str, Any], defaults: object = None) -> M:
    """The settings that a document means. Raises pydantic's ValidationError if it cannot be."""
    names = model.model_fields.keys()
    usual = {name: getattr(defaults, name) for name in names if hasattr(defaults, name)}
    return model.model_validate({**usual, **document})


class StoredSettings:
    """Gives the settings in force; asks the database whether they changed once a second at most."""

    def __init__(self, clock: Clock, defaults: object = None) -> None:
        """`defaults` are the environment's settings, whose fields bear the models' names."""
        self.defaults = defaults
        self._clock = clock
        self._snapshot: Snapshot | None = None
        self._checked_at: datetime | None = None
        self._changes = 0

    async def read(self, connection: AsyncConnection) -> Snapshot:
        """The settings in force: those of this process's own last change, others' within `FRESH`.

        Not within a unit of work that changes settings itself.
        """
        now, before, changes = self._clock.now(), self._snapshot, self._changes
        if before is not None and self._checked_at and abs(now - self._checked_at) < FRESH:
            return before
        # While one asks, the others go on with what is known.
        self._checked_at = now
        try:
            rows = await connection.execute(_CHANGED, {"stamp": before.stamp if before else -1})
            documents = {row.scope: Stored(*row[1:]) for row in rows}
        except BaseException:
            self._checked_at = None
            raise
        if before is not None and not documents:
            found = before
        else:
            found = Snapshot(documents, self.defaults, before)
        # What was asked before a change, or comes later than a newer answer, is not kept.
        newest = self._snapshot
        if changes == self._changes and (newest is None or newest.stamp <= found.stamp):
            self._snapshot = found
        return found

    def forget(self) -> None:
        """Ask anew: a change was committed here."""
        self._snapshot = None
        self._changes += 1


async def lock(uow: "UnitOfWork", scope: str) -> Stored:
    """The document of a scope; until the commit nobody else changes it."""
    await uow.execute(_LOCK, {"scope": scope})
    return await read_document(uow.connection, scope)


async def read_document(connection: AsyncConnection, scope: str) -> Stored:
    """The document of a scope, as it stands in the database."""
    row = (await connection.execute(_READ, {"scope": scope})).first()
    return Stored() if row is None else Stored(*row)


async def write(
    uow: "UnitOfWork", scope: str, before: Stored, document: Mapping[str, Any], by: str
) -> Stored:
    """Replace the document that was locked before."""
    after = Stored(before.version + 1, document, uow.now, by)
    await uow.execute(
        _WRITE,
        {
            "scope": scope,
            "version": after.version,
            "document": to_json(document).decode(),
            "changed_at": after.changed_at,
            "changed_by": by,
        },
    )
    return after


def log_change(service: str, scope: str, before: Stored, after: Stored) -> None:
    """Tell operators what was changed, once it is committed."""
    names = sorted({*before.document, *after.document})
    changed = [n for n in names if before.document.get(n) != after.document.get(n)]
    log.info(
        "settings changed",
        scope=f"{service}/{scope}" if scope else service,
        version=after.version,
        changed_by=after.changed_by,
        before={name: before.document.get(name) for name in changed},
        after={name: after.document.get(name) for name in changed},
    )
