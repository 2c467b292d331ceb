"""What is promised of a database that is there, but takes nobody."""

import asyncio
import struct

import pytest
from waybill_chassis.clock import ManualClock
from waybill_chassis.database import Database
from waybill_chassis.failures import is_transient, problem_of
from waybill_chassis.problems import Unavailable

STARTING = b"SFATAL\0VFATAL\0C57P03\0Mthe database system is starting up\0\0"


async def test_a_server_that_is_starting_counts_as_away(clock: ManualClock) -> None:
    """A connection refused by words is a connection refused: whoever waits for it waits on."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1024):
            asks_for_tls = data[4:8] == struct.pack("!I", 80877103)
            writer.write(
                b"N" if asks_for_tls else b"E" + struct.pack("!I", 4 + len(STARTING)) + STARTING
            )
            if not asks_for_tls:
                break
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    database = Database(f"postgresql://x@127.0.0.1:{port}/x", service="intake", clock=clock)
    try:
        with pytest.raises(ConnectionError, match="starting up") as caught:
            await database.ping()
    finally:
        await database.close()
        server.close()
        await server.wait_closed()
    assert is_transient(caught.value)
    assert isinstance(problem_of(caught.value), Unavailable)
