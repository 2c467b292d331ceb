"""What the outbox promises, on a real database."""

import asyncio
from uuid import uuid4

import pytest
from google.protobuf.wrappers_pb2 import StringValue
from sqlalchemy import text
from waybill_chassis.database import Database


async def rows(database: Database) -> list[tuple[str, int, bytes]]:
    async with database.reading() as connection:
        result = await connection.execute(
            text("SELECT aggregateid, sequence, payload FROM outbox ORDER BY position")
        )
        return [(row.aggregateid, row.sequence, row.payload) for row in result]


async def test_events_of_an_aggregate_are_numbered_in_the_order_they_were_emitted(
    new_database: Database,
) -> None:
    """Numbers grow by one per aggregate, within a unit of work and across units."""
    one, other = str(uuid4()), str(uuid4())
    for unit in range(2):
        async with new_database.unit_of_work() as uow:
            for word, subject in (("a", one), ("b", other), ("c", one)):
                uow.emit(StringValue(value=f"{word}{unit}"), subject=subject)
    assert [(a, s, StringValue.FromString(p).value) for a, s, p in await rows(new_database)] == [
        (one, 1, "a0"), (other, 1, "b0"), (one, 2, "c0"),
        (one, 3, "a1"), (other, 2, "b1"), (one, 4, "c1"),
    ]  # fmt: skip


async def test_a_unit_that_fails_tells_nothing(new_database: Database) -> None:
    """Neither an event nor a number is left behind by a rollback."""
    subject = uuid4()

    async def fail() -> None:
        async with new_database.unit_of_work() as uow:
            uow.emit(StringValue(value="lost"), subject=subject)
            await uow.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with new_database.unit_of_work() as uow:
        uow.emit(StringValue(value="kept"), subject=subject)
    assert [sequence for _, sequence, _ in await rows(new_database)] == [1]


async def test_racing_writers_never_share_or_skip_a_number(new_database: Database) -> None:
    """Sixteen concurrent units on one aggregate leave the numbers 1 to 16, in position order."""
    subject = uuid4()

    async def write(number: int) -> None:
        async with new_database.unit_of_work() as uow:
            uow.emit(StringValue(value=str(number)), subject=subject)
            await uow.flush()
            await asyncio.sleep(0.001 * (number % 3))

    await asyncio.gather(*(write(number) for number in range(16)))
    assert [sequence for _, sequence, _ in await rows(new_database)] == list(range(1, 17))
