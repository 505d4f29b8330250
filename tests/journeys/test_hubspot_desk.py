"""Every row of DESIGN section 2 with owners and tickets at HubSpot, by both versions of its paths."""

from collections.abc import Iterator

import pytest

from hubspot_double.process import HubSpotDouble
from journeys.desk_rows import ROWS, Row, play
from journeys.hubspot_world import DOUBLE_BURST, HubSpotWorld
from smtp_sink import ThreadedSink


@pytest.fixture(scope="module", params=["2026-03", "legacy"])
def world(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubSpotWorld]:
    with (
        ThreadedSink() as sink,
        HubSpotDouble.start(relay_properties=True, search_lag_s=1.0, burst_per_10s=DOUBLE_BURST) as double,
    ):
        world = HubSpotWorld.make(tmp_path_factory.mktemp("hubspot"), sink.port, double, version=request.param)
        world.sink = sink
        world.relay.start()
        yield world
        assert world.relay.stop() == 0
        double.assert_no_violations()
        used = {one["path"].split("/")[2] for one in double.log() if one["path"].startswith("/crm/")}
        assert used <= (
            {"v3", "v4"} if request.param == "legacy" else {"objects", "associations", "owners", "pipelines"}
        )


@pytest.mark.parametrize("row", [pytest.param(row, id=row.id) for row in ROWS])
def test_row_of_the_desk(row: Row, world: HubSpotWorld) -> None:
    play(row, world, world.sink)


def test_two_workers_kept_the_limits_together(world: HubSpotWorld) -> None:
    counted = world.double.counters()
    assert counted["rate_limited"] == 0
    assert counted["most_searches_in_1s"] <= 5
