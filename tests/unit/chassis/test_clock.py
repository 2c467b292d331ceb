"""A clock that replicas share: the database's time, whatever their own clocks say."""

from datetime import UTC, datetime, timedelta

from waybill_chassis.clock import ManualClock, SharedClock

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


class Seconds:
    """Counts seconds as the test says."""

    def __init__(self) -> None:
        self.passed = 50.0

    def __call__(self) -> float:
        return self.passed


class Server:
    """Tells the time; each answer takes so long to arrive."""

    def __init__(self, seconds: Seconds, *took: float) -> None:
        self.seconds = seconds
        self.moment = NOON
        self.took = list(took)

    async def ask(self) -> datetime:
        moment = self.moment
        took = self.took.pop(0) if self.took else 0.0
        self.seconds.passed += took
        self.moment += timedelta(seconds=took)
        return moment


async def test_once_the_database_was_asked_the_machines_own_clock_has_no_effect() -> None:
    """Before that there is no other; then a steady clock carries the database's time on."""
    own, seconds = ManualClock(NOON - timedelta(hours=1)), Seconds()
    clock = SharedClock(own, steady=seconds)
    assert clock.now() == own.now()
    await clock.look(Server(seconds).ask)
    own.advance(timedelta(days=3))
    seconds.passed += 2.5
    assert clock.now() == NOON + timedelta(seconds=2.5)


async def test_an_answer_that_came_late_is_asked_for_again() -> None:
    """A process that was frozen between question and answer would be behind for so long."""
    seconds = Seconds()
    clock, server = SharedClock(ManualClock(), steady=seconds), Server(seconds, 9.0, 0.002)
    await clock.look(server.ask)
    assert server.moment - clock.now() == timedelta(seconds=0.002)


async def test_time_stands_still_rather_than_go_back_a_little() -> None:
    """An answer that took a little longer than the last one; but a clock that is set back is."""
    seconds = Seconds()
    clock, server = SharedClock(ManualClock(), steady=seconds), Server(seconds, 0.0, 0.05)
    await clock.look(server.ask)
    before = clock.now()
    await clock.look(server.ask)
    assert clock.now() == before
    server.moment = NOON - timedelta(minutes=1)
    await clock.look(server.ask)
    assert clock.now() == server.moment
