"""The short way to the database: what is written as text goes to the driver as it is.

For each statement SQLAlchemy makes a context, a cursor and a result and crosses into a greenlet and
back: three times the processor time of the driver's own call; to begin and to commit it does the
like. Statements of any other kind, text with typed or many parameters, and whatever fails go that
way still, on the same connection and within the same transaction.
"""

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any, cast

from sqlalchemy import CursorResult, Executable, TextClause
from sqlalchemy.engine import Connection as SyncConnection
from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.util import greenlet_spawn

Parameters = Mapping[str, Any] | Sequence[Mapping[str, Any]] | None

_NAME = re.compile(r"(?<![:\w\\]):(\w+)(?!:)")  # as SQLAlchemy finds parameters in a text
_WITH = re.compile(r"\s*WITH\b", re.I)


class Engine(AsyncEngine):
    """An engine whose connections know the short way."""


class Rows(IteratorResult[Any]):
    """What a statement gave."""

    def __init__(self, columns: tuple[str, ...], rows: Sequence[Any], rowcount: int) -> None:
        """`rowcount` is how many rows it wrote or read."""
        super().__init__(_columns(columns), iter(rows))
        self.rowcount = rowcount


class _Running:
    """Stands for SQLAlchemy's context of a statement: its listeners leave things here."""

    executemany = False

    def __init__(self, dialect: Any) -> None:
        self._dialect = dialect

    def handle_dbapi_exception(self, error: Exception) -> None:
        """As SQLAlchemy's does: after a migration prepared statements are stale."""
        stale = self._dialect.dbapi
        if isinstance(error, stale.InvalidCachedStatementError | stale.InternalServerError):
            self._dialect._invalidate_schema_cache()


class Connection(AsyncConnection):
    """A connection that takes statements of text the short way."""

    def __init__(
        self, engine: AsyncEngine, sync: SyncConnection | None = None, *, pooled: Any = None
    ) -> None:
        """Over SQLAlchemy's connection, or over one of its pool until something asks for that."""
        super().__init__(engine, sync)
        self._pooled = pooled
        self._held: list[tuple[TextClause, Mapping[str, Any]]] = []

    @property
    def _proxied(self) -> SyncConnection:
        if self.sync_connection is None and self._pooled is not None:
            sync = SyncConnection(self.sync_engine, connection=self._pooled)
            sync.begin()
            self.sync_connection = self._assign_proxied(sync)
        return super()._proxied

    async def finish(self) -> None:
        """Commit, and go back to the pool."""
        await self.send()
        if self.sync_connection is None:
            adapted = self._pooled.dbapi_connection
            try:
                if adapted._started:
                    await adapted._commit_and_discard()
            except BaseException as error:  # noqa: BLE001 - it is SQLAlchemy's to tell them apart
                await greenlet_spawn(_fail, self._proxied, adapted, error, None, None, None, None)
            self._pooled.close()  # awaits nothing: there is nothing to roll back
        else:
            await self.commit()
            await self.close()

    def later(self, statement: TextClause, parameters: Mapping[str, Any]) -> None:
        """Hold a write back; it is sent together with others, before anything else or the commit.

        Those sent together must not hang on one another's effects, foreign keys excepted, and
        only the last may begin with WITH.
        """
        self._held.append((statement, parameters))

    async def send(self) -> None:
        """Send what is held back, in one round trip."""
        held, self._held = self._held, []
        if held:
            texts = tuple(statement.text for statement, _ in held)
            values = {
                f"{name}_{place}": value
                for place, (_, parameters) in enumerate(held)
                for name, value in parameters.items()
            }
            await self._run(*_short(_together(texts)), values)

    async def execute(
        self,
        statement: Executable,
        parameters: Parameters = None,
        *,
        execution_options: Any = None,
    ) -> CursorResult[Any]:
        """Run a statement, after those that are held back."""
        if self._held:
            await self.send()
        if (
            execution_options is None
            and type(statement) is TextClause
            and not isinstance(parameters, list | tuple)
            and _is_plain(statement)
        ):
            values = cast("Mapping[str, Any]", parameters or {})
            return await self._run(*_short(statement.text), values)
        return await super().execute(
            statement, cast("Any", parameters), execution_options=execution_options
        )

    async def _run(
        self, statement: str, names: Sequence[str], values: Mapping[str, Any]
    ) -> CursorResult[Any]:
        sync, engine = self.sync_connection, cast("Any", self.sync_engine)
        if sync is not None and not sync.in_transaction():
            # The driver is about to begin one: `commit` must know of it, or would do nothing.
            sync.begin()
        adapted: Any = (self._pooled if sync is None else sync.connection).dbapi_connection
        arguments = tuple([values[name] for name in names])
        running, cursor = _Running(engine.dialect), adapted.cursor()
        cursor._invalidate_schema_cache_asof = engine.dialect._invalidate_schema_cache_asof
        for listener in engine.dispatch.before_cursor_execute:
            listener(self, cursor, statement, arguments, running, False)
        try:
            await cursor._prepare_and_execute(statement, arguments)
        except BaseException as error:  # noqa: BLE001 - it is SQLAlchemy's to tell them apart
            await greenlet_spawn(
                _fail, self._proxied, adapted, error, statement, arguments, cursor, running
            )
        for listener in engine.dispatch.after_cursor_execute:
            listener(self, cursor, statement, arguments, running, False)
        columns = tuple([column[0] for column in cursor.description or ()])
        return cast("CursorResult[Any]", Rows(columns, cursor._rows, cursor.rowcount))


Engine._connection_cls = Connection


@asynccontextmanager
async def transaction(engine: AsyncEngine) -> AsyncIterator[Connection]:
    """A connection for one transaction: committed at the end, rolled back when something raises."""
    pooled = await greenlet_spawn(engine.sync_engine.raw_connection)
    connection = Connection(engine, pooled=pooled)
    try:
        yield connection
        await connection.finish()
    except BaseException:
        # Its own way to roll back sees to it that a cancelled task leaves no connection behind.
        await connection.__aexit__(None, None, None)
        raise


def _fail(connection: SyncConnection, adapted: Any, error: BaseException, *where: Any) -> None:
    """Raise what SQLAlchemy makes of the driver's error; a connection that broke is given up."""
    try:
        if isinstance(error, Exception):
            adapted._handle_exception(error)
        raise error
    except BaseException as raised:  # noqa: BLE001 - as above; it looks at the one being handled
        connection._handle_dbapi_exception(raised, *where)


def _is_plain(statement: TextClause) -> bool:
    return all(
        bind.required and bind.type._isnull and not bind.expanding
        for bind in statement._bindparams.values()
    )


@lru_cache(maxsize=1024)
def _short(text: str) -> tuple[str, tuple[str, ...]]:
    """A text as the driver takes it, `$1` for `:name`, and the names in their order."""
    names: dict[str, int] = {}
    statement = _NAME.sub(lambda found: f"${names.setdefault(found[1], len(names) + 1)}", text)
    return statement.replace("\\:", ":"), tuple(names)


@lru_cache(maxsize=256)
def _together(texts: tuple[str, ...]) -> str:
    """Writes as one statement; the parameters of each get its place as a suffix."""
    *others, last = [_NAME.sub(rf":\1_{place}", text).strip() for place, text in enumerate(texts)]
    if not others:
        return last
    parts = [f"held_{place} AS ({text})" for place, text in enumerate(others)]
    if begins := _WITH.match(last):
        return f"WITH {', '.join(parts)}, {last[begins.end() :]}"
    return f"WITH {', '.join(parts)} {last}"


@lru_cache(maxsize=1024)
def _columns(names: tuple[str, ...]) -> SimpleResultMetaData:
    return SimpleResultMetaData(names)
