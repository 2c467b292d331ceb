"""One unit of work is one transaction: state, events and inbox marks commit together."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from functools import partial
from typing import Any
from uuid import UUID

import asyncpg
from google.protobuf.message import Message
from sqlalchemy import Executable, TextClause, text
from sqlalchemy.engine import CursorResult, make_url
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from waybill_chassis import outbox
from waybill_chassis.clock import Clock, SharedClock
from waybill_chassis.events import PROTOBUF, TraceContext, events_topic
from waybill_chassis.ids import new_id
from waybill_chassis.statements import Connection, Engine, transaction
from waybill_chassis.stored_settings import Snapshot, StoredSettings
from waybill_chassis.telemetry import current_trace

# A process that freezes in mid-transaction must not hold its row locks for longer than this.
_SERVER_SETTINGS = {
    "idle_in_transaction_session_timeout": "10s",
    "lock_timeout": "10s",
    "statement_timeout": "30s",
    "jit": "off",
    "timezone": "UTC",
}
_TIME = text("SELECT clock_timestamp()")


class UnitOfWork:
    """A transaction in progress. Use cases read and write through it; the edge commits it."""

    def __init__(
        self, connection: Connection, service: str, clock: Clock, settings: StoredSettings
    ) -> None:
        """`service` names the owner of the events that are emitted."""
        self.connection = connection
        self.now: datetime = clock.now()
        """The moment at which this unit began; all its facts bear it."""
        self.service = service
        self._settings = settings
        self._events: list[outbox.OutboxRow] = []

    async def settings(self) -> Snapshot:
        """The settings in force that are kept in the database."""
        return await self._settings.read(self.connection)

    async def execute(
        self,
        statement: Executable,
        parameters: dict[str, Any] | Sequence[dict[str, Any]] | None = None,
    ) -> CursorResult[Any]:
        """Run a statement within the transaction."""
        result: CursorResult[Any] = await self.connection.execute(statement, parameters)
        return result

    def later(self, statement: TextClause, parameters: dict[str, Any]) -> None:
        """Write something in the same round trip as the events, or before the next statement.

        For writes whose results nobody asks for: they must not hang on one another's effects,
        foreign keys excepted.
        """
        self.connection.later(statement, parameters)

    def emit(
        self,
        message: Message,
        *,
        subject: UUID | str,
        occurred_at: datetime | None = None,
        trace: TraceContext | None = None,
        aggregate_type: str = "ticket",
        topic: str | None = None,
        key: str | None = None,
        source: str | None = None,
        event_id: UUID | None = None,
        content_type: str = PROTOBUF,
        payload: bytes | None = None,
        sequenced: bool = True,
    ) -> UUID:
        """Tell what happened, once this transaction commits. Returns the event's id.

        `subject` is the aggregate: its events are numbered and published in the order of these
        calls. `occurred_at` is when it happened (default: when the unit began). `trace` is where
        it comes from (default: the span we are in; a consumer passes its event's). `payload` and
        `content_type` are for topics that carry something else than the message's own bytes.
        """
        id = event_id or new_id()
        self._events.append(
            outbox.OutboxRow(
                id=id,
                aggregate_type=aggregate_type,
                aggregate_id=str(subject),
                type=message.DESCRIPTOR.full_name,
                payload=message.SerializeToString() if payload is None else payload,
                topic=topic or events_topic(self.service),
                key=key or str(subject),
                source=source or f"/waybill/{self.service}",
                occurred_at=occurred_at or self.now,
                content_type=content_type,
                trace=trace or current_trace(),
                sequenced=sequenced,
            )
        )
        return id

    async def flush(self) -> bool:
        """Write what was emitted so far; True if that was anything."""
        events, self._events = self._events, []
        outbox.write(self.connection, events)
        await self.connection.send()
        return bool(events)


class Database:
    """A service's own PostgreSQL database."""

    def __init__(
        self,
        url: str,
        *,
        service: str,
        clock: Clock,
        pool_size: int = 10,
        application: str = "",
        defaults: object = None,
    ) -> None:
        """`url` is libpq's: `postgresql://user:password@host:port/name`. Connects lazily.

        `defaults` are the environment's settings, for what nobody has set in the database.
        """
        self.url = url
        self.service = service
        self.clock = clock
        self.settings = StoredSettings(clock, defaults)
        self.on_commit: list[Callable[[], None]] = []
        """Called after each commit that wrote events; the relay of this process listens here."""
        self.engine = Engine(
            create_async_engine(
                make_url(url).set(drivername="postgresql+asyncpg"),
                # What people wrote has no place in an error, nor in the logs that tell of it.
                hide_parameters=True,
                pool_size=pool_size,
                max_overflow=0,
                pool_timeout=10,
                pool_pre_ping=False,
                pool_use_lifo=True,
                connect_args={
                    "async_creator_fn": self._connect,
                    "timeout": 5,
                    "command_timeout": 35,
                    "server_settings": _SERVER_SETTINGS
                    | {"application_name": application or f"waybill-{service}"},
                },
            ).sync_engine
        )

    @asynccontextmanager
    async def unit_of_work(self, *, keep: bool = True) -> AsyncIterator[UnitOfWork]:
        """One transaction: committed when the block ends, rolled back when it raises.

        Without `keep` it is rolled back too: a look at what would be.
        """
        wrote = False
        async with transaction(self.engine) as connection:
            unit = UnitOfWork(connection, self.service, self.clock, self.settings)
            yield unit
            wrote = await unit.flush() and keep
            if not keep:
                await connection.rollback()
        if wrote:
            for listener in self.on_commit:
                listener()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A connection for queries only; nothing done on it is kept."""
        async with self.engine.connect() as connection:
            yield connection

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncConnection]:
        """The same, with all queries seeing the database as it is at the first of them."""
        async with self.engine.connect() as connection:
            yield await connection.execution_options(isolation_level="REPEATABLE READ")

    async def look_at_time(self) -> None:
        """Have a clock that replicas share go by the database's time."""
        if isinstance(self.clock, SharedClock):
            async with self.reading() as connection:
                await self.clock.look(partial(_time, connection))

    async def _connect(self, *args: Any, **kwargs: Any) -> "asyncpg.Connection[Any]":
        """Connect; whatever the server says against it is a `ConnectionError`.

        SQLAlchemy passes the driver's own errors on here, and nobody expects those: a server that
        starts, stops or recovers would end every part that waits for it.
        """
        try:
            connection: asyncpg.Connection[Any] = await asyncpg.connect(*args, **kwargs)
            if isinstance(self.clock, SharedClock):
                # Whoever does anything has a connection, and with it the database's time.
                await self.clock.look(partial(connection.fetchval, _TIME.text))
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            raise ConnectionError(f"{type(error).__name__}: {error}") from error
        return connection

    async def ping(self) -> None:
        """Raise if the database does not answer."""
        async with self.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    async def close(self) -> None:
        """Give back all connections."""
        await self.engine.dispose()


async def _time(connection: AsyncConnection) -> datetime:
    moment: datetime = (await connection.execute(_TIME)).scalar_one()
    return moment
