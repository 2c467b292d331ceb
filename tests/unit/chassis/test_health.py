import asyncio

import pytest
from waybill_chassis.health import Health


async def well() -> None:
    """All is well."""


async def away() -> None:
    raise ConnectionRefusedError("port 5432\nwith a second line")


async def stuck() -> None:
    await asyncio.Event().wait()


async def stubborn() -> None:
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.shield(asyncio.get_running_loop().create_future())


async def test_ready_when_everything_answers() -> None:
    """Every dependency is named in the report."""
    health = Health()
    health.add("database", well)
    health.add("kafka", well)
    report = await health.ready()
    assert report.ready
    document = report.document()
    assert document["phase"] == "serving"
    assert set(document["checks"]) == {"database", "kafka"}
    assert document["checks"]["kafka"]["ok"] is True


async def test_one_critical_dependency_away_is_not_ready() -> None:
    """The report says which one, and why, in one line."""
    health = Health()
    health.add("database", away)
    health.add("kafka", well)
    report = await health.ready()
    assert not report.ready
    assert report.document()["checks"]["database"]["error"] == "ConnectionRefusedError: port 5432"


async def test_a_dependency_that_is_not_critical_only_shows() -> None:
    """A peer that is down never takes this service out of service."""
    health = Health()
    health.add("kb", away, critical=False)
    report = await health.ready()
    assert report.ready
    assert report.document()["checks"]["kb"]["ok"] is False


@pytest.mark.parametrize("check", [stuck, stubborn])
async def test_a_check_that_hangs_is_cut_short(check: object) -> None:
    """Even one that will not be cancelled."""
    health = Health(timeout=0.05)
    health.add("database", check)  # type: ignore[arg-type]
    async with asyncio.timeout(5):
        report = await health.ready()
    assert not report.ready
    assert report.document()["checks"]["database"]["error"] == "no answer within 0.05 s"


async def test_readiness_follows_the_phase_of_the_process() -> None:
    """Not while it starts, not once it stops, however well everything is."""
    health = Health()
    health.add("database", well)
    health.begin()
    assert not (await health.ready()).ready
    health.serve()
    assert (await health.ready()).ready
    health.stop()
    assert not (await health.ready()).ready
    assert health.stopping.is_set()


async def test_two_checks_cannot_bear_one_name() -> None:
    """A slip in the wiring is found at the start."""
    health = Health()
    health.add("database", well)
    with pytest.raises(ValueError, match="database"):
        health.add("database", well)
