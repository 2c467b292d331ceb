"""What the short way to the database promises: all that SQLAlchemy's own way does."""

import asyncio

import pytest
from sqlalchemy import bindparam, column, insert, select, table, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from waybill_chassis.database import Database
from waybill_chassis.failures import problem_of
from waybill_chassis.problems import Unavailable

NOTES = table("notes", column("id"), column("body"))
_ADD = text("INSERT INTO notes (id, body) VALUES (:id, :body)")
_ADD_MARK = text(
    "WITH found AS (SELECT CAST(:id AS integer) AS id) "
    "INSERT INTO marks (note_id) SELECT id FROM found"
)
_ALL = text("SELECT id, body FROM notes ORDER BY id")


@pytest.fixture
async def database(new_database: Database) -> Database:
    async with new_database.unit_of_work() as uow:
        await uow.execute(text("CREATE TABLE notes (id integer PRIMARY KEY, body text)"))
        await uow.execute(text("CREATE TABLE marks (note_id integer REFERENCES notes)"))
    return new_database


async def notes(database: Database) -> list[tuple[int, str]]:
    async with database.reading() as connection:
        return [(row.id, row.body) for row in await connection.execute(_ALL)]


async def test_both_ways_share_one_transaction(database: Database) -> None:
    """What one way wrote the other sees, and the commit is of both."""
    async with database.unit_of_work() as uow:
        await uow.execute(_ADD, {"id": 1, "body": "short"})
        await uow.execute(insert(NOTES).values(id=2, body="long"))
        typed = text("SELECT body FROM notes WHERE id IN :ids ORDER BY id").bindparams(
            bindparam("ids", expanding=True)
        )
        assert (await uow.execute(typed, {"ids": [1, 2]})).scalars().all() == ["short", "long"]
        assert (await uow.execute(_ALL)).all() == [(1, "short"), (2, "long")]
        assert (await uow.execute(select(NOTES.c.id))).scalars().all() == [1, 2]
        assert (await uow.execute(text("UPDATE notes SET body = body"))).rowcount == 2
    assert len(await notes(database)) == 2


async def test_what_is_held_back_comes_before_whatever_is_asked_next(database: Database) -> None:
    """A write for later is seen by the next statement, and stands after the commit."""
    async with database.unit_of_work() as uow:
        uow.later(_ADD, {"id": 1, "body": "held"})
        uow.later(_ADD_MARK, {"id": 1})
        assert (await uow.execute(_ALL)).all() == [(1, "held")]
        uow.later(_ADD, {"id": 2, "body": "at the end"})
    assert [body for _, body in await notes(database)] == ["held", "at the end"]


async def test_what_fails_raises_as_ever_and_leaves_nothing(database: Database) -> None:
    """At once or held back: the error is SQLAlchemy's, the transaction is undone."""

    async def twice(*, later: bool) -> None:
        async with database.unit_of_work() as uow:
            await uow.execute(_ADD, {"id": 1, "body": "first"})
            if later:
                uow.later(_ADD, {"id": 1, "body": "second"})
            else:
                await uow.execute(_ADD, {"id": 1, "body": "second"})

    for later in (False, True):
        with pytest.raises(IntegrityError) as caught:
            await twice(later=later)
        assert getattr(caught.value.orig, "sqlstate", None) == "23505"
    assert await notes(database) == []


async def test_a_unit_that_is_cancelled_or_looks_only_leaves_no_connection_behind(
    database: Database,
) -> None:
    """However units end, the pool is whole afterwards."""

    async def hang() -> None:
        async with database.unit_of_work() as uow:
            await uow.execute(_ADD, {"id": 1, "body": "lost"})
            await uow.execute(text("SELECT pg_sleep(60)"))

    for _ in range(12):
        task = asyncio.create_task(hang())
        while not task.done():
            async with database.reading() as connection:
                waiting = text(
                    "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep' "
                    "AND datname = current_database()"
                )
                if (await connection.execute(waiting)).scalar():
                    task.cancel()
            await asyncio.wait({task}, timeout=0.01)
        assert task.cancelled()
        async with database.unit_of_work(keep=False) as uow:
            await uow.execute(_ADD, {"id": 1, "body": "a look"})
    assert await notes(database) == []


async def test_a_connection_that_broke_is_replaced(database: Database) -> None:
    """The unit that meets it fails; the next ones work."""

    async def lose() -> None:
        async with database.unit_of_work() as uow, database.unit_of_work() as other:
            pid = (await uow.execute(text("SELECT pg_backend_pid()"))).scalar_one()
            await other.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
            await uow.execute(_ALL)

    with pytest.raises(DBAPIError) as caught:
        await lose()
    assert isinstance(problem_of(caught.value), Unavailable)
    for _ in range(12):
        assert await notes(database) == []


async def test_a_connection_that_nobody_began_commits_what_it_is_told_to(
    database: Database,
) -> None:
    """After statements that went the short way a commit keeps them, a rollback takes them back."""
    async with database.reading() as connection:
        await connection.execute(_ADD, {"id": 1, "body": "kept"})
        await connection.commit()
        await connection.execute(_ADD, {"id": 2, "body": "taken back"})
        await connection.rollback()
        await connection.execute(_ADD, {"id": 3, "body": "left"})
    assert await notes(database) == [(1, "kept")]
