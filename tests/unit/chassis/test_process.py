import asyncio
import os
import signal
from collections.abc import Sequence

import pytest
from waybill_chassis.health import Health, Phase
from waybill_chassis.process import Closing, Part, Periodic, StartFailed, run


class Recorder:
    """A part that writes down what happens to it."""

    def __init__(self, name: str, journal: list[str]) -> None:
        self.name = name
        self.journal = journal

    async def start(self) -> None:
        self.journal.append(f"start {self.name}")

    async def stop(self) -> None:
        self.journal.append(f"stop {self.name}")


class Signals(Recorder):
    """Once it has started, the process gets these signals, one a turn of the loop."""

    def __init__(self, name: str, journal: list[str], *signals: signal.Signals) -> None:
        super().__init__(name, journal)
        self.signals = signals or (signal.SIGTERM,)

    async def start(self) -> None:
        await super().start()
        self.task = asyncio.create_task(self._send())

    async def _send(self) -> None:
        for number in self.signals:
            os.kill(os.getpid(), number)
            await asyncio.sleep(0)


class Broken(Recorder):
    async def start(self) -> None:
        await super().start()
        raise StartFailed("http: cannot listen on 127.0.0.1:80: Permission denied")


class Dying(Recorder):
    async def wait(self) -> None:
        raise ConnectionError("lost")


class Ending(Recorder):
    async def wait(self) -> None:
        return


class Endless(Recorder):
    async def stop(self) -> None:
        await super().stop()
        await asyncio.Event().wait()


class Clumsy(Recorder):
    async def stop(self) -> None:
        await super().stop()
        raise RuntimeError("cannot stop")


async def finished(parts: Sequence[Part], **options: object) -> int:
    async with asyncio.timeout(20):
        return await run(parts, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_parts_start_in_order_and_stop_in_reverse(number: signal.Signals) -> None:
    """A signal ends the process well."""
    journal: list[str] = []
    parts = [Recorder("database", journal), Recorder("relay", journal)]
    assert await finished([*parts, Signals("http", journal, number)]) == 0
    assert journal == [
        "start database",
        "start relay",
        "start http",
        "stop http",
        "stop relay",
        "stop database",
    ]


async def test_readiness_turns_false_before_anything_stops() -> None:
    """And was not there before everything had started."""
    health = Health()
    seen: list[Phase] = []

    class Watcher(Recorder):
        async def start(self) -> None:
            seen.append(health.phase)

        async def stop(self) -> None:
            seen.append(health.phase)

    assert await finished([Watcher("w", []), Signals("s", [])], health=health) == 0
    assert seen == [Phase.STARTING, Phase.STOPPING]


async def test_a_part_that_cannot_start_ends_the_process_with_its_one_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What had started is stopped again, what came after never starts."""
    journal: list[str] = []
    parts = [Recorder("database", journal), Broken("http", journal), Recorder("later", journal)]
    assert await finished(parts) == 1
    assert journal == ["start database", "start http", "stop http", "stop database"]
    assert capsys.readouterr().err == "http: cannot listen on 127.0.0.1:80: Permission denied\n"


@pytest.mark.parametrize("kind", [Dying, Ending])
async def test_a_part_that_dies_takes_the_process_with_it(kind: type[Recorder]) -> None:
    """A half-dead process is worse than one that is started anew."""
    journal: list[str] = []
    assert await finished([Recorder("database", journal), kind("relay", journal)]) == 1
    assert journal[-2:] == ["stop relay", "stop database"]


async def test_a_part_that_will_not_stop_does_not_hold_up_the_others() -> None:
    """After the grace period the next one has its turn."""
    journal: list[str] = []
    parts = [Recorder("database", journal), Endless("consumer", journal), Signals("s", journal)]
    assert await finished(parts, grace=0.05) == 0
    assert journal[-2:] == ["stop consumer", "stop database"]


async def test_a_part_that_fails_to_stop_does_not_keep_the_others_from_it() -> None:
    """The failure is logged and the stop goes on."""
    journal: list[str] = []
    parts = [Recorder("database", journal), Clumsy("relay", journal), Signals("s", journal)]
    assert await finished(parts) == 0
    assert journal[-1] == "stop database"


async def test_a_signal_while_starting_stops_what_has_started() -> None:
    """Nobody waits for a start that hangs."""
    journal: list[str] = []

    class Hanging(Recorder):
        async def start(self) -> None:
            await super().start()
            await asyncio.Event().wait()

    parts = [Signals("first", journal), Hanging("second", journal), Recorder("third", journal)]
    assert await finished(parts) == 0
    assert journal == ["start first", "start second", "stop second", "stop first"]


async def test_a_second_signal_ends_the_wait() -> None:
    """An operator in a hurry does not wait for the whole grace period."""
    journal: list[str] = []
    parts = [
        Endless("consumer", journal),
        Signals("s", journal, signal.SIGTERM, signal.SIGTERM, signal.SIGTERM),
    ]
    assert await finished(parts, grace=600) == 0
    assert "stop consumer" in journal


async def test_a_chore_is_done_again_after_it_failed() -> None:
    """Pruning that failed once is tried again, and ends with the process."""
    rounds = 0
    enough = asyncio.Event()

    async def chore() -> None:
        nonlocal rounds
        rounds += 1
        if rounds == 1:
            raise ConnectionError("away")
        enough.set()

    part = Periodic("prune", 0.001, chore)
    await part.start()
    async with asyncio.timeout(5):
        await enough.wait()
    await part.stop()
    after = rounds
    await asyncio.sleep(0)
    assert rounds == after


async def test_a_pool_is_closed_at_the_end() -> None:
    """What only needs closing is a part too."""
    closed: list[str] = []

    async def close() -> None:
        closed.append("database")

    assert await finished([Closing("database", close), Signals("s", [])]) == 0
    assert closed == ["database"]
